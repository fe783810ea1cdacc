// In: what the supervisor asks the issuer's thread, and its answers. Out: each question's answer, or why there is none.
// Every call ends: by its answer, by the time it may take, or with the thread.
import { err, ok, type Result } from "../lib/result.ts";
import type { BrokerMethods, CallProblem, FromBroker, ToBroker } from "./broker-message.ts";

/** A change waits for the issuer's disk and for every data thread; an operator's call gives up after 30 s. */
const CALL_TIMEOUT_MS = 10_000;
/** Operators are few; more than this in flight means that the thread does not answer. */
const CALLS_MAX = 64;

/** Values of the caller; an expected refusal is a value too, with the HTTP status it deserves. */
export type BrokerCall = <Method extends keyof BrokerMethods>(
  method: Method,
  params: BrokerMethods[Method]["params"],
) => Promise<Result<BrokerMethods[Method]["result"], CallProblem>>;

export interface BrokerCalls {
  readonly call: BrokerCall;
  /** Takes every answer of the thread; one that came too late is dropped. */
  answered(message: Extract<FromBroker, { type: "answer" }>): void;
  /** The thread has ended: nothing that is in flight will be answered. */
  end(): void;
}

export const ISSUER_AWAY: CallProblem = Object.freeze({
  status: 503,
  code: "issuer_away",
  detail: "The issuer's thread is away and is started again within seconds; try again.",
});

export function createBrokerCalls(
  post: (message: ToBroker) => void,
  limits: { readonly timeoutMs: number; readonly callsMax: number } = {
    timeoutMs: CALL_TIMEOUT_MS,
    callsMax: CALLS_MAX,
  },
): BrokerCalls {
  const waiting = new Map<number, (answer: Result<unknown, CallProblem>) => void>();
  let ended = false;
  let lastId = 0;

  function ask(method: string, params: unknown): Promise<Result<unknown, CallProblem>> {
    if (ended) return Promise.resolve(err(ISSUER_AWAY));
    if (waiting.size >= limits.callsMax) {
      const detail = "The issuer has too many calls of operators in hand; try again in a moment.";
      return Promise.resolve(err({ status: 503, code: "issuer_busy", detail }));
    }
    const id = ++lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const detail = "The issuer did not answer in time; what was asked may still be done. Look, then try again.";
        settle(err({ status: 504, code: "issuer_timeout", detail }));
      }, limits.timeoutMs);
      const settle = (answer: Result<unknown, CallProblem>): void => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(answer);
      };
      waiting.set(id, settle);
      post({ type: "call", id, method, params });
    });
  }

  return {
    call: ask as BrokerCall,
    answered(message) {
      const answer = "problem" in message ? err(message.problem) : ok(message.result);
      waiting.get(message.id)?.(answer);
    },
    end() {
      ended = true;
      const detail = "The issuer ended before it answered; what was asked may be done. Look, then try again.";
      for (const settle of waiting.values()) settle(err({ status: 503, code: "issuer_away", detail }));
    },
  };
}
