// In: the audit file as a start finds it. Out: where its last good record ends, and that record's number.
// Trusts: only complete lines with consecutive numbers; whatever a crash left after them is not a record.
import type { AuditFile } from "./file-layer.ts";

/** Text of one commit at most. What a crash can leave torn is one commit, so twice this is read at a start. */
export const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
const TAIL_BYTES = 2 * COMMIT_BYTES_MAX + 1024 * 1024;

export interface Tail {
  readonly seq: number;
  /** Offset after the last good record. */
  readonly goodBytes: number;
  /** The last good record with its line break; empty where there is none. */
  readonly lastLine: Buffer;
}

const NEWLINE = 0x0a;

export async function readTail(file: AuditFile, tailBytes = TAIL_BYTES): Promise<Tail> {
  const size = await file.size();
  const start = Math.max(0, size - tailBytes);
  const window = await file.read(start, size - start);
  // Where the window begins inside a line, that line is left to the full check of `verify-audit-file`.
  let offset = start === 0 ? 0 : window.indexOf(NEWLINE) + 1;
  let tail: Tail = { seq: 0, goodBytes: start === 0 ? 0 : start + offset, lastLine: Buffer.alloc(0) };
  let first = start !== 0;
  while (offset < window.length) {
    const end = window.indexOf(NEWLINE, offset);
    if (end === -1) break;
    const seq = lineSeq(window.toString("utf8", offset, end));
    if (seq === undefined || (!first && seq !== tail.seq + 1)) break;
    first = false;
    tail = { seq, goodBytes: start + end + 1, lastLine: Buffer.from(window.subarray(offset, end + 1)) };
    offset = end + 1;
  }
  if (size > 0 && start > 0 && tail.seq === 0) {
    throw new Error("the end of the audit file holds no record; move the file away or restore it");
  }
  return tail;
}

/** The `seq` of a whole record, or undefined for anything else. */
export function lineSeq(line: string): number | undefined {
  if (!line.startsWith('{"seq":')) return undefined;
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null || !("seq" in record)) return undefined;
    return Number.isSafeInteger(record.seq) ? (record.seq as number) : undefined;
  } catch {
    return undefined; // not JSON: not a record
  }
}
