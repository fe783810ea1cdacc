// In: an agent's first token, and how to renew it. Out: a token that is valid at the time it is asked for, or why there is none.
// Renewed once 77 to 87% of its life have passed, one renewal at a time. A renewal whose answer was lost is asked for
// again, the same: the issuer gives the same successor within the old token's grace (10 s).
import { CordonError } from "./cordon-error.ts";

/** From 75% on the issuer renews; two more for clocks, and a spread so that a crowd launched at once does not renew at once. */
const RENEW_FROM = 0.77;
const RENEW_SPREAD = 0.1;
/** Below this much of its life left, whoever wants a token waits for the next one. */
const WAIT_BELOW_MS = 5000;
/** Lost renewals: the first tries come well within the grace of 10 s. */
const RETRY_FIRST_MS = 250;
const RETRY_MS_MAX = 5000;
/** What `setTimeout` can count; it looks again then. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export interface HeldToken {
  readonly accessToken: string;
  readonly scope: readonly string[];
  /** As the issuer said when it answered. */
  readonly lifetimeMs: number;
  /** True where its end is the end of the agent's authority: no renewal would bring more. */
  readonly final: boolean;
}

export interface TokenKeeper {
  /** The token of now, which may have expired. */
  readonly held: HeldToken;
  /** Throws the CordonError that ended the agent. */
  accessToken(): Promise<string>;
  /** Afterwards `accessToken` throws `agent_closed`. */
  close(): void;
}

export interface TokenKeeperOptions {
  readonly first: HeldToken;
  /** Throws CordonError; one that `isPassing` is tried again. */
  readonly renew: (current: HeldToken) => Promise<HeldToken>;
  /** Told once, when there is no token any more and will be none. Not after `close`. */
  readonly onEnd?: ((error: CordonError) => void) | undefined;
  /** Told when no further renewal will come, though the token still serves. */
  readonly onLastToken?: ((error: CordonError) => void) | undefined;
  readonly stopwatch?: () => () => number;
}

export function createTokenKeeper(options: TokenKeeperOptions): TokenKeeper {
  const startStopwatch = options.stopwatch ?? startElapsed;
  let held = options.first;
  let ageMs = startStopwatch();
  let renewFromMs = renewalTime(held);
  let ended: CordonError | undefined;
  let refused: CordonError | undefined;
  let renewal: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let retryTimer: NodeJS.Timeout | undefined;
  let endPause: () => void = () => undefined;
  /** A timer holds the process only while somebody waits for what it will bring. */
  let waiting = 0;

  const leftMs = (): number => held.lifetimeMs - ageMs();

  function end(error: CordonError): void {
    if (ended !== undefined) return;
    ended = error;
    clearTimeout(timer);
    if (error.code !== "agent_closed") options.onEnd?.(error);
  }

  function refuseWhenEnded(): void {
    if (ended !== undefined) throw ended;
  }

  /** Looks at the age, never trusts a timer: a machine that slept wakes with timers that are late. */
  function arm(): void {
    clearTimeout(timer);
    if (ended !== undefined) return;
    const dueMs = refused === undefined ? renewFromMs - ageMs() : leftMs();
    timer = setTimeout(onTimer, Math.min(Math.max(dueMs, 0), TIMER_MS_MAX));
    timer.unref();
  }

  function onTimer(): void {
    if (leftMs() <= 0 && (held.final || refused !== undefined)) return end(refused ?? authorityEnded());
    if (held.final || refused !== undefined || ageMs() < renewFromMs) return arm();
    void renewOnce();
  }

  function renewOnce(): Promise<void> {
    renewal ??= renewUntilDone().finally(() => {
      renewal = undefined;
      arm();
    });
    return renewal;
  }

  async function renewUntilDone(): Promise<void> {
    for (let delayMs = RETRY_FIRST_MS; ended === undefined; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
      const elapsed = startStopwatch();
      try {
        const next = await options.renew(held);
        held = next;
        // From before it was asked for: the issuer's clock started no earlier.
        ageMs = elapsed;
        renewFromMs = renewalTime(next);
        return;
      } catch (error) {
        const problem = asCordonError(error);
        // Closed while it was asked for: nobody would end the pause.
        if (ended !== undefined) return;
        if (!isPassing(problem)) return refuse(problem);
        if (leftMs() <= 0) return end(tokenExpired(problem));
      }
      await pause(Math.min(delayMs, Math.max(leftMs(), 0)));
    }
  }

  function refuse(problem: CordonError): void {
    refused = problem;
    // A revoked token is refused everywhere; after any other refusal the old one serves to its end.
    if (problem.code === "revoked" || leftMs() <= 0) return end(problem);
    options.onLastToken?.(problem);
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      endPause = resolve;
      retryTimer = setTimeout(resolve, ms);
      if (waiting === 0) retryTimer.unref();
    });
  }

  async function waitForRenewal(): Promise<void> {
    waiting += 1;
    retryTimer?.ref();
    try {
      await renewOnce();
    } finally {
      waiting -= 1;
      if (waiting === 0) retryTimer?.unref();
    }
  }

  arm();
  return {
    get held() {
      return held;
    },
    async accessToken() {
      refuseWhenEnded();
      const mayRenew = !held.final && refused === undefined;
      if (mayRenew && leftMs() <= Math.min(WAIT_BELOW_MS, held.lifetimeMs / 10)) await waitForRenewal();
      else if (mayRenew && ageMs() >= renewFromMs) void renewOnce();
      if (ended === undefined && leftMs() <= 0) end(refused ?? (held.final ? authorityEnded() : tokenExpired()));
      refuseWhenEnded();
      return held.accessToken;
    },
    close() {
      end(new CordonError("agent_closed", "This agent was closed; it makes no more requests."));
      clearTimeout(retryTimer);
      endPause();
    },
  };
}

function renewalTime({ lifetimeMs, final }: HeldToken): number {
  return final ? lifetimeMs : lifetimeMs * (RENEW_FROM + RENEW_SPREAD * Math.random());
}

/** Worth another try: nobody has decided anything, or time will. */
const PASSING: ReadonlySet<string> = new Set(["issuer_unreachable", "renewal_too_early", "parent_not_renewed"]);

function isPassing({ code, status = 0 }: CordonError): boolean {
  return PASSING.has(code) || status >= 500 || status === 429;
}

/**
 * Milliseconds since now, by whichever clock went further: the monotonic clock stands still while a machine is
 * suspended, and the wall clock may be set back.
 */
function startElapsed(): () => number {
  const wallMs = Date.now();
  const monotonicMs = performance.now();
  return () => Math.max(Date.now() - wallMs, performance.now() - monotonicMs);
}

function asCordonError(error: unknown): CordonError {
  if (error instanceof CordonError) return error;
  return new CordonError("issuer_answer_invalid", "The renewal failed in a way that was not foreseen.", {
    cause: error,
  });
}

function authorityEnded(): CordonError {
  return new CordonError(
    "authority_ended",
    "The time that this agent was given is over. Ask the orchestrator for a new launch token.",
  );
}

function tokenExpired(cause?: CordonError): CordonError {
  return new CordonError(
    "token_expired",
    "The token expired before it could be renewed. Ask the orchestrator for a new launch token.",
    { cause },
  );
}
