// In: nothing; types only. Out: what the gateway hands to the access log and the decision log.
// Their fields are closed: a field that is not here cannot be logged. docs/logs.md shows the lines.
import type { InputText } from "../action/build-input.ts";
import type { Mode } from "../containment/state.ts";
import type { Reason } from "../errors.ts";
import type { Decision, PolicyRevision, ResponseVerdict } from "../policy/decision.ts";
import type { Agent } from "../token/agent.ts";

/**
 * The ids that stand in every line of both logs. From `agent` come `agent`, `task`, `chain`, `jti`,
 * `key_thumbprint`, `issuer` and `binding`; they are serialised once for each Agent.
 */
export interface EntryIds {
  readonly requestId: string;
  /** "" before a decision was asked for. */
  readonly decisionId: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined where the caller was not proven. */
  readonly agent: Agent | undefined;
  /** Undefined where no policy was asked. */
  readonly policyRevision: PolicyRevision | undefined;
  readonly containmentEpoch: number;
  readonly containmentMode: Mode | "";
}

export type Outcome = "forwarded" | "denied" | "failed" | "mirrored" | "answered";

/** One for every exchange, always, also for the ones that failed. */
export interface AccessEntry extends EntryIds {
  /** Unix milliseconds at which the exchange began. */
  readonly timeMs: number;
  readonly listener: string;
  /** Name of the route, or "" where none matched. */
  readonly route: string;
  readonly method: string;
  readonly host: string;
  /** Without the query. Anything is safe here: it is escaped and redacted. */
  readonly path: string;
  /** HTTP status sent to the caller; 0 where none was. */
  readonly status: number;
  readonly outcome: Outcome;
  readonly reason: Reason | "";
  /** For the log only; cut at 200 characters. */
  readonly detail: string;
  readonly mode: "enforce" | "observe" | "";
  readonly sourceIp: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationUs: number;
  /** Time from the first byte sent upstream to the end of its response; 0 where nothing was sent. */
  readonly upstreamUs: number;
  readonly httpVersion: string;
  /** Id of the stack trace in the service log, or "". */
  readonly errorId: string;
}

/** Of one answer, or of one message of a stream: nothing of what it says. */
export interface ResponseFacts {
  /** Of MCP `result`, `error`, `request`, `notification`; else `document` or `event`. */
  readonly kind: string;
  readonly bytes: number;
}
export interface JudgedResponse extends ResponseFacts {
  /** Undefined where the policy gave none that can be used; `reason` then says why. */
  readonly verdict: ResponseVerdict | undefined;
}

/** One for every decision. Argument, query and attribute values are erased unless listed as safe. */
export interface DecisionEntry extends EntryIds {
  readonly timeMs: number;
  readonly agent: Agent;
  readonly policyRevision: PolicyRevision;
  readonly mode: "enforce" | "observe";
  /** Of the policy input, without the values of arguments and query. */
  readonly inputText: InputText;
  /** The parsed body, or null. */
  readonly arguments: unknown;
  readonly query: Readonly<Record<string, string>>;
  readonly sourceIp: string;
  /** Undefined where the policy gave none that can be used; `reason` then says why. */
  readonly decision: Decision | undefined;
  /** Where it was not a request that was judged but an answer. */
  readonly response?: JudgedResponse | undefined;
  readonly reason: Reason | "";
  readonly detail: string;
  readonly evaluationUs: number;
}

export type LogTarget = "stdout" | "off" | { readonly file: string };

export interface LogsOptions {
  /** Name of this gateway, `labels.gateway` of the decision log. */
  readonly gateway: string;
  readonly access: LogTarget;
  readonly decision: LogTarget;
  /** `logs.safe_fields` of the configuration. */
  readonly safeFields: readonly string[];
  /** Takes whole lines for stdout: only the supervisor writes there, so that threads do not mix their lines. */
  readonly relay: (lines: string) => void;
  /** The log cannot be written or lines were dropped; told once until it works again. */
  readonly onFault: (message: string) => void;
}

/** `createLogs(options: LogsOptions): Logs` (create-logs.ts); one for each data thread. Neither call throws or waits. */
export interface Logs {
  access(entry: AccessEntry): void;
  decision(entry: DecisionEntry): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}
