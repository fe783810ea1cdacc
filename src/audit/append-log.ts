// In: batches of events as JSON text. Out: numbered lines that are on disk when `commit` resolves.
// Trusts: only bytes that a successful fdatasync covered; everything after them is cut and written again.
import { readTail } from "./read-tail.ts";
import type { AuditFile, FileLayer } from "./file-layer.ts";

export interface AppendLog {
  /** Sequence number of the last record on disk; 0 where there is none. */
  readonly seq: number;
  /** What was cut off and set aside when the log was opened, in bytes. */
  readonly bytesSetAside: number;
  /** Numbers, appends and syncs `count` events (JSON objects, one a line). Rejects with an AppendError; nothing counts as written then. */
  commit(text: string, count: number): Promise<void>;
  /** After a failed commit: opens the file anew, checks the last good record and cuts what follows it. */
  recover(): Promise<void>;
  close(): Promise<void>;
}

export class AppendError extends Error {
  override readonly name = "AppendError";
  readonly kind: "write_failed" | "sync_failed" | "tail_changed";
  readonly code: string;
  constructor(kind: AppendError["kind"], cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.kind = kind;
    this.code = errorCode(cause);
  }
}

/** Opens the log, continues its numbering, and moves a torn tail to a file beside it. Rejects when it cannot be written. */
export async function openAppendLog(layer: FileLayer, path: string): Promise<AppendLog> {
  let file: AuditFile | undefined = await layer.open(path);
  const tail = await readTail(file);
  const size = await file.size();
  if (tail.goodBytes < size) {
    // A crash leaves an unsynced tail, but so could someone who edits the file: keep it as evidence.
    await setAside(layer, `${path}.cut-${Date.now()}`, await file.read(tail.goodBytes, size - tail.goodBytes));
    await file.truncate(tail.goodBytes);
  }
  // What a killed process wrote but did not sync is about to be built upon: make it durable first.
  await file.datasync();

  let seq = tail.seq;
  let goodBytes = tail.goodBytes;
  let lastLine = tail.lastLine;

  async function reopen(): Promise<AuditFile> {
    await file?.close().catch(() => undefined); // a descriptor that fails to close is gone all the same
    file = undefined;
    const opened = await layer.open(path);
    const found = await opened.read(goodBytes - lastLine.length, lastLine.length);
    if (!found.equals(lastLine)) {
      await opened.close();
      throw new AppendError("tail_changed", `record ${seq} is not where it was written`);
    }
    await opened.truncate(goodBytes);
    file = opened;
    return opened;
  }

  return {
    get seq() {
      return seq;
    },
    bytesSetAside: size - tail.goodBytes,
    async commit(text, count) {
      if (file === undefined) throw new AppendError("write_failed", "the file is not open");
      const lines = numberLines(text, seq + 1, new Date().toISOString());
      const bytes = Buffer.from(lines);
      try {
        await appendAll(file, bytes);
      } catch (error) {
        // Best effort: `recover` cuts again, and a torn tail is found at the next start.
        await file.truncate(goodBytes).catch(() => undefined);
        throw new AppendError("write_failed", error);
      }
      try {
        await file.datasync();
      } catch (error) {
        throw new AppendError("sync_failed", error);
      }
      seq += count;
      goodBytes += bytes.length;
      lastLine = Buffer.from(bytes.subarray(bytes.lastIndexOf(0x0a, -2) + 1));
    },
    async recover() {
      try {
        await reopen();
      } catch (error) {
        throw error instanceof AppendError ? error : new AppendError("write_failed", error);
      }
    },
    async close() {
      const open = file;
      file = undefined;
      await open?.close();
    },
  };
}

/** Puts `seq` and `written_at` in front of the members of each line, without parsing them. */
export function numberLines(text: string, firstSeq: number, writtenAt: string): string {
  let numbered = "";
  let seq = firstSeq;
  for (const line of text.split("\n")) {
    numbered += `{"seq":${seq},"written_at":"${writtenAt}",${line.slice(1)}\n`;
    seq += 1;
  }
  return numbered;
}

async function appendAll(file: AuditFile, bytes: Buffer): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const taken = await file.append(bytes.subarray(written));
    if (taken === 0) throw new Error("the disk took no bytes");
    written += taken;
  }
}

async function setAside(layer: FileLayer, path: string, bytes: Buffer): Promise<void> {
  const aside = await layer.open(path);
  try {
    await appendAll(aside, bytes);
    await aside.datasync();
  } finally {
    await aside.close();
  }
}

function errorCode(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return "";
}
