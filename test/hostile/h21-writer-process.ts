// Records strict intents until it is killed, and prints the id of each one that was acknowledged.
import { createRecorder } from "../../src/audit/create-recorder.ts";
import { startAuditWriter } from "../../src/audit/start-audit-writer.ts";

const file = process.argv[2] ?? "";
const writer = await startAuditWriter({ file, commitIntervalMs: 1, onFault() {}, onRecovered() {} });
const recorder = createRecorder(writer.connect(), { queueEventsMax: 1000 });
for (let i = 0; ; i += 1) {
  const id = `${process.pid}-${i}`;
  const answer = await recorder.recordIntent({ type: "intent", at: "2026-01-01T00:00:00Z", request_id: id }, "strict");
  if (!answer.ok) throw new Error(answer.error.reason);
  process.stdout.write(`${id}\n`);
}
