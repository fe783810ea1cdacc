// In: a call of the supervisor, and what the issuer can do. Out: the answer to post back; it never throws.
// Trusts the supervisor: who may ask was settled by the operators' API.
import { err, ok, type Result } from "../lib/result.ts";
import type { BrokerMethods, CallProblem, FromBroker, ToBroker } from "./broker-message.ts";
import type { KeyRing } from "./keys/key-ring.ts";

type Answer<Method extends keyof BrokerMethods> = Result<BrokerMethods[Method]["result"], CallProblem>;

export type CallHandlers = {
  readonly [Method in keyof BrokerMethods]: (
    params: BrokerMethods[Method]["params"],
  ) => Answer<Method> | Promise<Answer<Method>>;
};

export async function answerCall(
  handlers: CallHandlers,
  { id, method, params }: Extract<ToBroker, { type: "call" }>,
  onFailure: (error: Error) => void,
): Promise<FromBroker> {
  try {
    if (!Object.hasOwn(handlers, method)) throw new Error(`the issuer has no method ${method}`);
    const handle = handlers[method as keyof BrokerMethods] as (given: unknown) => Promise<Result<unknown, CallProblem>>;
    const answer = await handle(params);
    return answer.ok ? { type: "answer", id, result: answer.value } : { type: "answer", id, problem: answer.error };
  } catch (error) {
    // The message may tell of files and rows: it goes to the log, and never to a caller.
    onFailure(error instanceof Error ? error : new Error(String(error)));
    const detail = "The issuer could not do this; its log has the reason.";
    return { type: "answer", id, problem: { status: 500, code: "issuer_failed", detail } };
  }
}

export function keyHandlers(ring: KeyRing): Pick<CallHandlers, "keys.list" | "keys.rotate"> {
  return {
    "keys.list": () => ok(ring.list()),
    async "keys.rotate"() {
      const key = await ring.rotate();
      if (key !== undefined) return ok(key);
      const next = ring.list().find(({ state }) => state === "next");
      const detail =
        next === undefined
          ? "So many keys were retired in the last hour that no further one can be published; try again later."
          : `A rotation is under way: key ${next.kid} signs from ${next.next_change} on.`;
      return err({ status: 409, code: "rotation_under_way", detail });
    },
  };
}
