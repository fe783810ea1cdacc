// In: every request of the demo's agents. Out: its answer; and a list of exchanges and secrets to hold the logs against.
// The secrets stay in this process's memory.

export interface Exchange {
  /** Id of the step that made it. */
  readonly step: string;
  readonly requestId: string;
  readonly status: number;
}

export interface Ledger {
  /** Stands in every exchange from now on. */
  step: string;
  readonly exchanges: readonly Exchange[];
  /** Tokens, proofs, assertions and keys as they were sent or kept. */
  readonly secrets: ReadonlySet<string>;
  keepSecret(secret: string): void;
  /** Each request is on a connection of its own, so that it may meet any thread of the gateway. */
  readonly fetch: typeof fetch;
}

/** A call that hangs shows in its own step. */
const CALL_TIMEOUT_MS = 10_000;

export function createLedger(): Ledger {
  const exchanges: Exchange[] = [];
  const secrets = new Set<string>();
  const keepSecret = (secret: string): void => void secrets.add(secret);
  const ledger: Ledger = {
    step: "start",
    exchanges,
    secrets,
    keepSecret,
    async fetch(input, init) {
      const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
      const token = headers.get("authorization")?.split(" ")[1];
      const proof = headers.get("dpop");
      if (token !== undefined) keepSecret(token);
      if (proof !== null) keepSecret(proof);
      const assertion = assertionOf(init?.body);
      if (assertion !== null) keepSecret(assertion);
      headers.set("connection", "close");
      const streams = headers.get("accept")?.includes("text/event-stream") === true;
      const signal = init?.signal ?? (streams ? undefined : AbortSignal.timeout(CALL_TIMEOUT_MS));
      const response = await fetch(input, { ...init, headers, ...(signal === undefined ? {} : { signal }) });
      const requestId = response.headers.get("x-cordon-request-id");
      if (requestId !== null) exchanges.push({ step: ledger.step, requestId, status: response.status });
      return response;
    },
  };
  return ledger;
}

function assertionOf(body: unknown): string | null {
  if (typeof body !== "string" && !(body instanceof URLSearchParams)) return null;
  return new URLSearchParams(body).get("client_assertion");
}
