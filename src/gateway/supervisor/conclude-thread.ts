// In: the exchanges that a thread had open, or had just finished, when it ended. Out: one line in the access log for each of
// them, and one outcome where an intent may stand. Only the request id and how it ended are known: who called and what was
// asked stands in the intent, where there is one.
import { open as openFile } from "node:fs/promises";
import type { AuditWriter } from "../../audit/audit-writer.ts";
import type { Config } from "../../config/schema.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logs } from "../../telemetry/log-entries.ts";
import type { OpenAtEnd } from "../in-flight.ts";

/** End of a log that is searched for what the thread had handed over: more than all threads write in some tenths of a second. */
const TAIL_BYTES = 16 * 1024 * 1024;

export interface ConcludeTo {
  readonly config: Pick<Config, "logs" | "audit">;
  readonly logs: Logs;
  readonly audit: AuditWriter;
  readonly clock: Clock;
  readonly epoch: number;
}

/** Resolves when all is written that can be. What was open is told at once. */
export async function concludeThread(open: readonly OpenAtEnd[], why: string, to: ConcludeTo): Promise<void> {
  const finished: OpenAtEnd[] = [];
  for (const exchange of open) {
    if (exchange.finished !== undefined) finished.push(exchange);
    else {
      writeLine(exchange, why, to);
      if (exchange.intended) recordOutcome(exchange, to);
    }
  }
  if (finished.length === 0) return;
  // The thread has ended and its writes with it, so what is not in the file by now never will be.
  const { access } = to.config.logs;
  if (typeof access === "object") {
    const told = await idsAtEnd(access.file, /"request_id":"([^"]+)"/g);
    for (const exchange of finished.filter(({ requestId }) => !told.has(requestId))) writeLine(exchange, why, to);
  }
  if (!finished.some(({ intended }) => intended)) return;
  try {
    // A record goes before it, so that this waits for a commit: what the thread had sent is in it.
    await to.audit.flush();
  } catch {
    return; // the disk is broken: what the writer still holds cannot be told from what was lost
  }
  const recorded = await idsAtEnd(to.config.audit.file, /"type":"outcome","at":"[^"]*","request_id":"([^"]+)"/g);
  for (const exchange of finished) {
    if (exchange.intended && !recorded.has(exchange.requestId)) recordOutcome(exchange, to);
  }
}

async function idsAtEnd(file: string, pattern: RegExp): Promise<Set<string>> {
  const handle = await openFile(file, "r");
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    const ids = new Set<string>();
    for (const [, id] of buffer.toString("latin1", 0, bytesRead).matchAll(pattern)) if (id !== undefined) ids.add(id);
    return ids;
  } finally {
    await handle.close();
  }
}

function writeLine({ requestId, finished }: OpenAtEnd, why: string, to: ConcludeTo): void {
  to.logs.access({
    requestId,
    decisionId: "",
    traceId: "",
    spanId: "",
    agent: undefined,
    policyRevision: undefined,
    containmentEpoch: to.epoch,
    containmentMode: "",
    timeMs: to.clock.nowMs(),
    listener: "",
    route: "",
    method: "",
    host: "",
    path: "",
    status: finished?.status ?? 503,
    outcome: finished?.outcome ?? "failed",
    reason: "gateway.thread_ended",
    detail: finished === undefined ? why : `finished before; its own line was lost: ${why}`,
    mode: "",
    sourceIp: "",
    bytesIn: 0,
    bytesOut: 0,
    durationUs: 0,
    upstreamUs: 0,
    httpVersion: "",
    errorId: "",
  });
}

function recordOutcome({ requestId, finished }: OpenAtEnd, to: ConcludeTo): void {
  to.audit.record({
    type: "outcome",
    at: new Date(to.clock.nowMs()).toISOString(),
    request_id: requestId,
    outcome: finished?.outcome ?? "failed",
    reason: "gateway.thread_ended",
    // The tool may have got it: nobody who knew is left.
    sent: null,
    status: null,
  });
}
