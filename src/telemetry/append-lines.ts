// In: whole lines. Out: a file to which they are appended in order, each of them in one piece, whatever the disk does.
// Trusts: O_APPEND, by which several threads write whole lines to one file without mixing them.
//
// A disk that is full takes a part of a line, and another thread's line would go on where it broke off. So does the next
// process after a crash. Whoever finds or leaves such a part ends its line, and a line that broke off is written anew.
import { close, fstatSync, mkdirSync, openSync, readSync, write } from "node:fs";
import { dirname } from "node:path";
import { performance } from "node:perf_hooks";

/** A disk that hangs must not fill the memory: beyond this, lines are dropped and reported, in UTF-16 units. */
const WAITING_MAX = 16 * 1024 * 1024;
/** What could not be written is tried again this often, in milliseconds, also when no further line comes. */
const RETRY_MS = 500;
/** Who wrote nothing for so long, in milliseconds, may have missed that the disk was full for another thread. */
const IDLE_MS = 100;
const LINE_BREAK = 0x0a;
const EMPTY = Buffer.alloc(0);

export interface LineFile {
  /** Never throws, never waits. */
  write(lines: string): void;
  /** Resolves when all that was written so far is with the system; rejects where the disk does not take it. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Throws when the file cannot be opened. `onFault` is told once for each time that lines cannot be written. */
export function openLineFile(file: string, onFault: (message: string) => void): LineFile {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const fd = openSync(file, "a+", 0o600);
  let torn = false;
  let writtenAtMs = Number.NEGATIVE_INFINITY;
  let waiting = "";
  /** Being written: it begins with a line. */
  let current = EMPTY;
  let writing = false;
  let faulty = false;
  let closed = false;
  let dropping = false;
  let retry: NodeJS.Timeout | undefined;
  let flushes: PromiseWithResolvers<void>[] = [];

  function next(): void {
    if (writing || closed || retry !== undefined) return;
    if (current.length === 0) {
      current = Buffer.from(waiting);
      waiting = "";
      dropping = false;
    }
    if (current.length === 0) {
      settle(undefined);
      return;
    }
    if (!torn && performance.now() - writtenAtMs > IDLE_MS) torn = endsTorn(fd);
    if (torn && current[0] !== LINE_BREAK) current = Buffer.concat([Buffer.of(LINE_BREAK), current]);
    writing = true;
    write(fd, current, 0, current.length, null, onWritten);
  }

  function onWritten(error: Error | null, bytes: number): void {
    writing = false;
    if (error === null && bytes === current.length) {
      torn = false;
      faulty = false;
      writtenAtMs = performance.now();
      current = EMPTY;
      next();
      return;
    }
    if (error === null && bytes > 0) {
      torn = current[bytes - 1] !== LINE_BREAK;
      current = current.subarray(current.lastIndexOf(LINE_BREAK, bytes - 1) + 1);
    }
    const problem = error ?? new Error("the disk took a part of what was written");
    if (!faulty) onFault(`${file}: ${problem.message}`);
    faulty = true;
    retry = setTimeout(tryAgain, RETRY_MS).unref();
    settle(problem);
  }

  function tryAgain(): void {
    clearTimeout(retry);
    retry = undefined;
    next();
  }

  function settle(error: Error | undefined): void {
    const settled = flushes;
    flushes = [];
    for (const { resolve, reject } of settled) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  function flush(): Promise<void> {
    const flushed = Promise.withResolvers<void>();
    flushes.push(flushed);
    tryAgain();
    return flushed.promise;
  }

  return {
    write(lines) {
      if (waiting.length + lines.length > WAITING_MAX) {
        if (!dropping) onFault(`${file}: lines are dropped, the disk is too slow`);
        dropping = true;
        return;
      }
      waiting += lines;
      next();
    },
    flush,
    async close() {
      try {
        await flush();
      } finally {
        closed = true;
        clearTimeout(retry);
        close(fd, () => undefined); // a descriptor that fails to close is gone all the same
      }
    },
  };
}

function endsTorn(fd: number): boolean {
  try {
    const { size } = fstatSync(fd);
    const last = Buffer.alloc(1);
    return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== LINE_BREAK;
  } catch {
    return false; // no regular file, such as a pipe; or a disk that will refuse the line too
  }
}
