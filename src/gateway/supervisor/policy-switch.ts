// In: a policy that passed its checks. Out: it is in force on every thread, or on none.
import { err, ok, type Result } from "../../lib/result.ts";
import type { LoadedPolicyMessage } from "../../policy/decision.ts";
import type { DataThread, ThreadPool } from "./thread-pool.ts";
import type { FromThread } from "../thread-messages.ts";

export interface PolicySwitch {
  readonly current: LoadedPolicyMessage | null;
  /** Resolves when every serving thread judges by `next`. Where one cannot load it, all go back to the one before. */
  activate(next: LoadedPolicyMessage): Promise<Result<void, string>>;
  onMessage(thread: DataThread, message: Extract<FromThread, { type: "policy" }>): void;
  /** A thread that ended owes no answer: its successor starts with the policy of that moment. */
  onEnd(thread: DataThread): void;
}

export function createPolicySwitch(pool: () => ThreadPool): PolicySwitch {
  let current: LoadedPolicyMessage | null = null;
  let serial = 0;
  let awaited: { serial: number; threads: Set<number>; errors: string[]; done: () => void } | undefined;

  function settle(thread: DataThread, error?: string): void {
    if (awaited === undefined || !awaited.threads.delete(thread.serial)) return;
    if (error !== undefined) awaited.errors.push(error);
    if (awaited.threads.size === 0) awaited.done();
  }

  async function send(policy: LoadedPolicyMessage): Promise<string[]> {
    const serving = pool().all.filter((thread) => thread.state === "serving" || thread.state === "starting");
    if (serving.length === 0) return [];
    serial++;
    const errors: string[] = [];
    await new Promise<void>((resolve) => {
      awaited = { serial, threads: new Set(serving.map((thread) => thread.serial)), errors, done: resolve };
      for (const thread of serving) thread.send({ type: "policy", policy, serial });
    });
    awaited = undefined;
    return errors;
  }

  return {
    get current() {
      return current;
    },
    async activate(next) {
      const previous = current;
      current = next;
      const errors = await send(next);
      if (errors.length === 0) return ok(undefined);
      current = previous;
      if (previous !== null) await send(previous);
      return err(errors.join("; "));
    },
    onMessage(thread, message) {
      if (message.serial === awaited?.serial) settle(thread, message.error);
    },
    onEnd: (thread) => settle(thread),
  };
}
