// In: whole lines. Out: an append-only file, or text for the supervisor to print.
// Trusts: O_APPEND: threads write whole lines to one file without mixing them.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import pino from "pino";
import type { LogTarget } from "./log-entries.ts";

/** Lines appear within this time, in milliseconds, and share one write until then. What waits is lost with its thread. */
const GATHER_MS = 20;
/** Entries that are written out at once: making lines in a row keeps that code warm, which costs a fifth of one by one. */
const GATHER_ENTRIES_MAX = 64;
/** A disk that hangs must not fill the memory: beyond this, lines are dropped and reported, in bytes. */
const BUFFER_BYTES_MAX = 16 * 1024 * 1024;

export interface EntrySink<T> {
  /** Never throws, never waits. The entry becomes a line soon: it must not change any more. */
  write(entry: T): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

type LineSink = EntrySink<string>;

const OFF: EntrySink<unknown> = { write: () => {}, flush: () => Promise.resolve(), close: () => Promise.resolve() };

/** Opens a target of the access or decision log; `lineOf` ends each line with a line break. Throws when it cannot be opened. */
export function createEntrySink<T>(
  target: LogTarget,
  lineOf: (entry: T) => string,
  relay: (lines: string) => void,
  onFault: (message: string) => void,
): EntrySink<T> {
  if (target === "off") return OFF;
  if (target === "stdout") {
    return gather({ write: relay, flush: () => Promise.resolve(), close: () => Promise.resolve() }, lineOf);
  }
  return gather(fileSink(target.file, onFault), lineOf);
}

function fileSink(file: string, onFault: (message: string) => void): LineSink {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Opened once here, so that a wrong path is found at the start; the destination opens and writes asynchronously.
  closeSync(openSync(file, "a", 0o600));
  const destination = pino.destination({
    dest: file,
    append: true,
    sync: false,
    mode: 0o600,
    maxLength: BUFFER_BYTES_MAX,
  });
  let faulty = false;
  function fault(message: string): void {
    if (!faulty) onFault(message);
    faulty = true;
  }
  // The destination keeps what it could not write and tries again with the next line.
  destination.on("error", (error: Error) => fault(`${file}: ${error.message}`));
  destination.on("drop", () => fault(`${file}: lines are dropped, the disk is too slow`));
  destination.on("write", () => {
    faulty = false;
  });
  const ready = new Promise<void>((resolve, reject) => {
    destination.once("ready", resolve);
    destination.once("error", reject);
  });
  ready.catch(() => undefined); // told through `fault`; a flush rejects too
  return {
    write: (lines) => void destination.write(lines),
    async flush() {
      await ready;
      await drained(destination);
    },
    async close() {
      await this.flush();
      destination.end();
    },
  };
}

/** Resolves when nothing is waiting to be written. An empty write makes the destination say so. */
function drained(destination: ReturnType<typeof pino.destination>): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      destination.off("error", failed);
      resolve();
    };
    const failed = (error: Error) => {
      destination.off("drain", done);
      reject(error);
    };
    destination.once("drain", done);
    destination.once("error", failed);
    destination.write("");
  });
}

function gather<T>(sink: LineSink, lineOf: (entry: T) => string): EntrySink<T> {
  let gathered: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    if (gathered.length === 0) return;
    let lines = "";
    for (const entry of gathered) lines += lineOf(entry);
    gathered = [];
    sink.write(lines);
  }
  return {
    write(entry) {
      if (gathered.push(entry) >= GATHER_ENTRIES_MAX) send();
      else timer ??= setTimeout(send, GATHER_MS);
    },
    flush() {
      send();
      return sink.flush();
    },
    close() {
      send();
      return sink.close();
    },
  };
}
