// In: what each data thread evaluates at this moment, in shared memory. Out: which evaluations have run too long (H12).
// A thread in an endless evaluation cannot speak; what it wrote before it began is all that the supervisor knows.

const WORDS_PER_LINE = 16;
const SINCE_WORD = 0;
const ROUTE_WORD = 1;
const AGENT_WORD = 2;

export interface Overrun {
  readonly thread: number;
  readonly route: number;
  readonly agentHash: number;
  readonly ms: number;
}

export interface EvaluationWatch {
  /** Called by a thread just before an evaluation. `monotonicMs` of src/lib/clock.ts. */
  begin(thread: number, route: number, agentHash: number, monotonicMs: number): void;
  end(thread: number): void;
  /** The evaluation of this thread, if it runs for longer than `budgetMs`. */
  overrun(thread: number, budgetMs: number, monotonicMs: number): Overrun | null;
}

export function createEvaluationBuffer(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * WORDS_PER_LINE * Int32Array.BYTES_PER_ELEMENT);
}

export function attachEvaluationWatch(sab: SharedArrayBuffer): EvaluationWatch {
  const words = new Int32Array(sab);
  return {
    begin(thread, route, agentHash, monotonicMs) {
      const line = thread * WORDS_PER_LINE;
      Atomics.store(words, line + ROUTE_WORD, route);
      Atomics.store(words, line + AGENT_WORD, agentHash);
      // Zero means idle, so the one millisecond in 2^32 that truncates to zero is moved by one.
      Atomics.store(words, line + SINCE_WORD, Math.floor(monotonicMs) | 0 || 1);
    },
    end(thread) {
      Atomics.store(words, thread * WORDS_PER_LINE + SINCE_WORD, 0);
    },
    overrun(thread, budgetMs, monotonicMs) {
      const line = thread * WORDS_PER_LINE;
      const since = Atomics.load(words, line + SINCE_WORD);
      if (since === 0) return null;
      const ms = (Math.floor(monotonicMs) - since) | 0;
      if (ms <= budgetMs) return null;
      return {
        thread,
        route: Atomics.load(words, line + ROUTE_WORD),
        agentHash: Atomics.load(words, line + AGENT_WORD),
        ms,
      };
    },
  };
}

/** 32-bit FNV-1a of an agent's id: only to recognise, over a thread's end, who made the policy hang. */
export function hashAgent(id: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index++) {
    hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  }
  return hash | 0;
}
