// In: ports of data threads and what they send. Out: the audit file, written by this thread alone.
// Trusts: the other threads of this process; it never parses an event.
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { openAppendLog } from "./append-log.ts";
import type { AuditThreadData, EventBatch, FromThread, ToThread } from "./audit-protocol.ts";
import { type CommitLoop, createCommitLoop } from "./commit-loop.ts";
import { realFileLayer } from "./file-layer.ts";

const supervisor = parentPort;

function tell(message: FromThread): void {
  supervisor?.postMessage(message, []);
}

async function start(data: AuditThreadData): Promise<CommitLoop> {
  const seqCell = new BigInt64Array(data.seq);
  const log = await openAppendLog(realFileLayer, data.file);
  Atomics.store(seqCell, 0, BigInt(log.seq));
  if (log.bytesSetAside > 0) {
    const message = `${log.bytesSetAside} bytes after record ${log.seq} were not whole records; they were moved to a file beside the log`;
    tell({ fault: { kind: "torn_tail_cut", code: "", message } });
  }
  return createCommitLoop({
    log,
    commitIntervalMs: data.commitIntervalMs,
    onCommitted: (seq) => Atomics.store(seqCell, 0, BigInt(seq)),
    onFault: (fault) => tell({ fault }),
    onRecovered: () => tell({ recovered: true }),
  });
}

function connect(loop: CommitLoop, port: MessagePort): void {
  port.on("message", (batch: EventBatch) => loop.receive(port, batch));
  port.on("close", () => loop.disconnect(port));
  loop.connect(port);
}

try {
  const loop = await start(workerData as AuditThreadData);
  supervisor?.on("message", async (message: ToThread) => {
    if ("connect" in message) {
      connect(loop, message.connect);
      return;
    }
    await loop.close();
    process.exit(0); // ends this thread; open ports would keep it alive
  });
  tell({ started: true });
} catch (error) {
  tell({ startError: error instanceof Error ? error.message : String(error) });
}
