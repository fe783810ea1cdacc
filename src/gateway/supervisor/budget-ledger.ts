// In: the audit log and the checkpoint beside it. Out: the counters of the budgets as the records tell them, before anything is
// served, and a new checkpoint now and then. Trusts: records that the writer has on disk, and only these.
// A start reads what came after the checkpoint: at most CHECKPOINT_BYTES and what is written in CHECK_MS. Without one it reads
// the whole log, once.
import { createHash } from "node:crypto";
import { type FileHandle, open as openFile, readFile, rename, stat } from "node:fs/promises";
import path from "node:path";
import {
  type Checkpoint,
  checkpointLines,
  LOG_START,
  type LogPlace,
  parseCheckpoint,
} from "../../budget/checkpoint.ts";
import { createFold, type Fold } from "../../budget/fold-records.ts";
import type { CounterTable } from "../../budget/counter-table.ts";

export interface BudgetLedger {
  /** Called now and then: writes a checkpoint once the log has grown enough. Never rejects; a fault is told once. */
  check(): Promise<void>;
  /** Reads on and writes a checkpoint. Rejects when it cannot; the log still holds everything. */
  advance(): Promise<void>;
  /** Ends the timer, and writes the last checkpoint: after the end of the audit log. */
  close(): Promise<void>;
}

export interface BudgetLedgerOptions {
  /** The checkpoint. */
  readonly file: string;
  readonly auditFile: string;
  /** Number of the last record that is on disk. */
  readonly auditSeq: () => number;
  readonly names: ReadonlySet<string>;
  readonly table: CounterTable;
  readonly nowMs: () => number;
  /** CHECKPOINT_BYTES where absent. */
  readonly growthBytes?: number;
  readonly onFault: (error: unknown) => void;
}

/** The counters, and the place in the log up to which they are counted. */
interface Counted {
  readonly fold: Fold;
  place: LogPlace;
}

/** So much of the log is read again by a start at most: some tenths of a second. */
const CHECKPOINT_BYTES = 64 * 1024 * 1024;
const CHECK_MS = 5000;
const CHUNK_BYTES = 1024 * 1024;
/** Longer than any record (65,000 bytes and its number): where none ends in so many bytes, it is no log. */
const LINE_BYTES_MAX = 1024 * 1024;
/** Of a checkpoint, made and written in one breath: some milliseconds, and then the supervisor looks at other things. */
const WRITE_CHARACTERS = 256 * 1024;
/** Before a place, to know the log again by. */
const TAIL_BYTES = 512;
const NEWLINE = 0x0a;
const SEQ = /^\{"seq":([0-9]+),/;

/** Fills `table`. Rejects, with one line for the operator, where the counters cannot be known. */
export async function openBudgetLedger(options: BudgetLedgerOptions): Promise<BudgetLedger> {
  const { file, auditFile, auditSeq, table, names, nowMs } = options;
  const kept = await readCheckpoint(file);
  const before = { fold: createFold(kept.state), place: kept.place };
  await readOn(auditFile, before, auditSeq());
  // Whatever was open when the process before this one ended has no outcome any more: it stays counted.
  const entries = [...before.fold.state(nowMs()).entries];
  const counted: Counted = { fold: createFold({ entries, open: [] }), place: before.place };
  for (const entry of entries) {
    if (names.has(entry.name) && !table.load(entry, nowMs())) {
      throw new Error("there are more counters than `limits.budget_entries` allows; raise it");
    }
  }
  await write();

  let working: Promise<void> = Promise.resolve();
  let told = false;
  const timer = setInterval(() => void check(), CHECK_MS);
  timer.unref();

  async function write(): Promise<void> {
    await writeCheckpoint(file, { place: counted.place, state: counted.fold.state(nowMs()) });
  }

  async function check(): Promise<void> {
    try {
      if ((await stat(auditFile)).size - counted.place.offset < (options.growthBytes ?? CHECKPOINT_BYTES)) return;
      await advance();
      told = false;
    } catch (error) {
      if (!told) options.onFault(error);
      told = true;
    }
  }

  function advance(): Promise<void> {
    working = working
      .catch(() => undefined)
      .then(async () => {
        await readOn(auditFile, counted, auditSeq());
        await write();
      });
    return working;
  }

  return {
    check,
    advance,
    close() {
      clearInterval(timer);
      return advance();
    },
  };
}

async function readCheckpoint(file: string): Promise<Checkpoint> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      return { place: LOG_START, state: { entries: [], open: [] } };
    throw error;
  }
  try {
    return parseCheckpoint(text);
  } catch {
    throw new Error(`${file} is damaged; remove it, and the counters are read from the whole audit log`);
  }
}

/** Atomic: whoever reads it finds the old one or the new one. */
async function writeCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const next = `${file}.next`;
  const handle = await openFile(next, "w", 0o600);
  try {
    let text = "";
    for (const line of checkpointLines(checkpoint)) {
      text += line;
      if (text.length < WRITE_CHARACTERS) continue;
      await handle.appendFile(text);
      text = "";
    }
    await handle.appendFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
  const folder = await openFile(path.dirname(file), "r");
  await folder.sync().finally(() => folder.close());
}

/** Reads the records behind the place, up to `seqMax`. The place is moved with each one that is counted. */
async function readOn(file: string, counted: Counted, seqMax: number): Promise<void> {
  const handle = await openFile(file, "r");
  try {
    if ((await tailHash(handle, counted.place.offset)) !== counted.place.tail) {
      throw new Error(
        `${file} is not the log of which the budgets were counted; put that one back, or remove the checkpoint to ` +
          "count what this one holds",
      );
    }
    try {
      await readRecords(handle, file, counted, seqMax);
    } finally {
      // Also where a record could not be read: the place is right up to there.
      counted.place = { ...counted.place, tail: await tailHash(handle, counted.place.offset) };
    }
  } finally {
    await handle.close();
  }
}

async function readRecords(handle: FileHandle, file: string, counted: Counted, seqMax: number): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let position = counted.place.offset;
  while (counted.place.seq < seqMax) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) throw new Error(`${file} ends before record ${seqMax}, which it held`);
    position += bytesRead;
    rest = countLines(file, counted, Buffer.concat([rest, buffer.subarray(0, bytesRead)]), seqMax);
    if (rest.length > LINE_BYTES_MAX) throw new Error(`${file} holds a line that is no record`);
  }
}

/** Returns what is left behind the last whole line. */
function countLines(file: string, counted: Counted, bytes: Buffer, seqMax: number): Buffer {
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end === -1 || counted.place.seq === seqMax) return bytes.subarray(start);
    // All that is read of a record is ASCII, and the bytes of other characters are never JSON's own signs.
    const text = bytes.toString("latin1", start, end);
    const seq = Number(SEQ.exec(text)?.[1]);
    if (seq !== counted.place.seq + 1) {
      throw new Error(`${file} has no record ${counted.place.seq + 1} where it should stand`);
    }
    try {
      counted.fold.add(text);
    } catch (error) {
      throw new Error(`record ${seq} of ${file} cannot be read, so the budgets cannot be counted`, { cause: error });
    }
    counted.place = { offset: counted.place.offset + end + 1 - start, seq, tail: "" };
    start = end + 1;
  }
}

async function tailHash(handle: FileHandle, offset: number): Promise<string> {
  if (offset === 0) return "";
  const length = Math.min(offset, TAIL_BYTES);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset - length);
  return createHash("sha256").update(buffer.subarray(0, bytesRead)).digest("hex");
}
