// In: entries of one log. Out: lines in an append-only file, or text for the supervisor to print.
// Trusts: the file to take whole lines in their order, and to say when it cannot.
import { type LineFile, openLineFile } from "./append-lines.ts";
import type { LogTarget } from "./log-entries.ts";

/** Lines appear within this time, in milliseconds, and share one write until then. What waits is lost with its thread. */
const GATHER_MS = 20;
/** Entries that are written out at once: making lines in a row keeps that code warm, which costs a fifth of one by one. */
const GATHER_ENTRIES_MAX = 64;

export interface EntrySink<T> {
  /** Never throws, never waits. The entry becomes a line soon: it must not change any more. */
  write(entry: T): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

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
  return gather(openLineFile(target.file, onFault), lineOf);
}

function gather<T>(sink: LineFile, lineOf: (entry: T) => string): EntrySink<T> {
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
