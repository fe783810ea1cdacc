// In: nothing; types only. Out: every message between the supervisor and its data threads.
// Order matters: all that the supervisor says to a thread goes over one port, and a thread reads it in that order.
import type { MessagePort } from "node:worker_threads";
import type { ToolDefinition } from "../action/mcp/tool-definition.ts";
import type { ToolRecord, ToolsSnapshot } from "../action/mcp/tool-pins.ts";
import type { ApiOperation } from "../action/openapi/operation.ts";
import type { Config } from "../config/schema.ts";
import type { RevocationDelta, RevocationSnapshot } from "../containment/revocation.ts";
import type { LabelRefs } from "../containment/label-state.ts";
import type { ContainmentDelta, ContainmentSnapshot } from "../containment/state.ts";
import type { ClockBase } from "../lib/clock.ts";
import type { LoadedPolicyMessage } from "../policy/decision.ts";
import type { ThreadMetricsSnapshot } from "../telemetry/metric-snapshot.ts";

/** `workerData` of a data thread. */
export interface DataThreadStart {
  readonly thread: number;
  readonly config: Config;
  /** By the number of the route: what its OpenAPI document describes. The same for every thread, also for a later one. */
  readonly operations: readonly (readonly ApiOperation[] | undefined)[];
  readonly clock: ClockBase;
  /** Proofs with an older `iat` are refused, in Unix milliseconds: a restart forgets nothing. */
  readonly proofsFromMs: number;
  readonly shared: SharedMemory;
  readonly control: MessagePort;
  readonly audit: MessagePort;
  readonly containment: ContainmentSnapshot;
  readonly revocations: RevocationSnapshot;
  readonly tools: ToolsOfAll;
  readonly policy: LoadedPolicyMessage | null;
  readonly suspensions: readonly Suspension[];
  /** Port of each listener: 0 in the configuration is resolved by the supervisor. */
  readonly ports: readonly number[];
  readonly reusePort: boolean;
  readonly version: string;
}

export interface SharedMemory {
  readonly replay: SharedArrayBuffer;
  readonly epoch: SharedArrayBuffer;
  /** Like `epoch`, for the issuer's feed: it has numbers of its own, since nothing of it is written here. */
  readonly revocations: SharedArrayBuffer;
  /** Likewise of the tools that are pinned; nobody waits for a thread to acknowledge it. */
  readonly tools: SharedArrayBuffer;
  readonly evaluation: SharedArrayBuffer;
  readonly pending: SharedArrayBuffer;
  readonly flight: SharedArrayBuffer;
  /** Ids of requests in sessions of MCP. */
  readonly ids: SharedArrayBuffer;
  /** Where budgets are configured. */
  readonly budgets: SharedArrayBuffer | undefined;
  /** Keys of this process, the same for every thread: replay hashing, nonces and the sessions of MCP servers. */
  readonly replayKey: Uint8Array;
  readonly nonceKey: Uint8Array;
  readonly sessionKey: Uint8Array;
}

/** A route on which a policy revision, or one agent, made the evaluation run too long twice (H12). */
export interface Suspension {
  readonly route: number;
  /** Exactly one of the two. */
  readonly revision?: string;
  readonly agentHash?: number;
}

/** By the names of routes. */
export interface ToolsOfAll {
  readonly serial: number;
  readonly routes: Readonly<Record<string, ToolsSnapshot>>;
}

export interface ToolsDelta {
  readonly serial: number;
  readonly route: string;
  readonly records: readonly ToolRecord[];
  readonly removed: readonly string[];
  readonly firstMs: number;
  readonly complete: boolean;
}

/** What one page of a list of tools told a thread that it did not know. */
export interface ToolsReport {
  readonly route: number;
  readonly items: readonly { readonly name: string; readonly definition: ToolDefinition }[];
  /** Names of tools that have no definition which all readers agree on, or too large a one. */
  readonly unfit: readonly string[];
  /** Where it stands in its list; undefined where that is not known, or not needed. */
  readonly page:
    | {
        readonly agent: string;
        /** Null: the first page. */
        readonly cursor: string | null;
        /** Null: the last page. */
        readonly next: string | null;
        readonly names: readonly string[];
      }
    | undefined;
}

/** What becomes of a session whose answer the policy has labelled. */
export interface LabelWish extends LabelRefs {
  readonly agent: string;
  readonly labels: readonly string[];
  readonly untilMs: number;
  readonly by: string;
}

export type ToThread =
  /** The answer to the thread's own `label`. */
  | { readonly type: "labelled"; readonly serial: number; readonly outcome: LabelOutcome }
  | { readonly type: "containment"; readonly delta: ContainmentDelta }
  | { readonly type: "revocations"; readonly delta: RevocationDelta }
  | { readonly type: "tools"; readonly delta: ToolsDelta }
  | { readonly type: "policy"; readonly policy: LoadedPolicyMessage; readonly serial: number }
  /** The writer of the audit log was started again: records go to this port from now on. */
  | { readonly type: "audit"; readonly port: MessagePort }
  | { readonly type: "suspend"; readonly suspension: Suspension }
  | { readonly type: "report"; readonly serial: number }
  | { readonly type: "drain"; readonly timeoutMs: number };

/** `done`: written, and every thread enforces it. */
export type LabelOutcome = "done" | "full" | "failed";

export type FromThread =
  /** `serial` is 0 where nobody waits: labels that are there already last longer. */
  | { readonly type: "label"; readonly serial: number; readonly wish: LabelWish }
  | { readonly type: "listening" }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "policy"; readonly serial: number; readonly error?: string }
  | {
      readonly type: "contain";
      readonly agent: string;
      readonly mode: "quarantined" | "blocked";
      readonly by: string;
      readonly reason: string;
    }
  | { readonly type: "alert"; readonly severity: string; readonly fields: Readonly<Record<string, string>> }
  | ({ readonly type: "tools" } & ToolsReport)
  | { readonly type: "agents"; readonly seen: readonly SeenAgentCount[] }
  | {
      readonly type: "report";
      readonly serial: number;
      readonly metrics: ThreadMetricsSnapshot;
      readonly exchanges: number;
      readonly streams: number;
    }
  | { readonly type: "log"; readonly lines: string }
  | {
      readonly type: "service";
      readonly level: "info" | "warn" | "error";
      readonly message: string;
      readonly fields: Readonly<Record<string, string>>;
    }
  | { readonly type: "drained" };

export interface SeenAgentCount {
  readonly id: string;
  readonly task: string;
  readonly token: string;
  readonly chain: string;
  readonly ancestors: readonly string[];
  readonly principal: string;
  readonly keyThumbprint: string;
  readonly lastSeenMs: number;
  readonly exchanges: number;
}
