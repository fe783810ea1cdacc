// In: changes of the broker's database, one by one. Out: their results, each only once it is on disk.
// Those of one turn of the event loop share one transaction and so one wait for the disk. A failed commit fails them all.
import type { DatabaseSync } from "node:sqlite";

export interface GroupCommit {
  /**
   * Runs `work`, which is synchronous, and resolves with its value after the commit. Where it throws, nothing of it stays
   * and the others are kept; where the commit fails, nothing of any of them stays and each is rejected.
   */
  run<T>(work: () => T): Promise<T>;
  /** Resolves when everything that was asked for until now is on disk or has failed. */
  settled(): Promise<void>;
}

interface Waiting {
  /** Returns how it is told after the commit. */
  readonly attempt: () => () => void;
  readonly fail: (error: unknown) => void;
}

/** The transaction could not be written: nobody is told that it was. */
export class CommitError extends Error {
  constructor(cause: unknown) {
    super("the broker's database cannot be written", { cause });
    this.name = "CommitError";
  }
}

export function createGroupCommit(db: DatabaseSync): GroupCommit {
  let waiting: Waiting[] = [];
  let idle: (() => void)[] = [];

  function commit(): void {
    const group = waiting;
    waiting = [];
    let tellers: (() => void)[] = [];
    try {
      db.exec("BEGIN IMMEDIATE");
      tellers = group.map(({ attempt }) => attempt());
      db.exec("COMMIT");
    } catch (error) {
      if (db.isOpen && db.isTransaction) db.exec("ROLLBACK");
      tellers = group.map(
        ({ fail }) =>
          () =>
            fail(new CommitError(error)),
      );
    }
    for (const tell of tellers) tell();
    const done = idle;
    idle = [];
    for (const tell of done) tell();
  }

  function join(one: Waiting): void {
    waiting.push(one);
    // After the sockets of this turn were read: who asks at the same time is in the same group.
    if (waiting.length === 1) setImmediate(commit);
  }

  return {
    run<T>(work: () => T) {
      return new Promise<T>((resolve, reject) => {
        const attempt = (): (() => void) => {
          db.exec("SAVEPOINT one");
          try {
            const value = work();
            db.exec("RELEASE one");
            return () => resolve(value);
          } catch (error) {
            // A full disk may have ended the whole transaction already: then the commit fails, and with it all of them.
            db.exec("ROLLBACK TO one; RELEASE one");
            return () => reject(error instanceof Error ? error : new Error(String(error)));
          }
        };
        join({ attempt, fail: reject });
      });
    },
    settled() {
      if (waiting.length === 0) return Promise.resolve();
      return new Promise((resolve) => idle.push(resolve));
    },
  };
}
