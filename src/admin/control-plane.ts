// In: nothing; types only. Out: what the operators' API may ask of the running gateway.
// The supervisor implements it; the API checks who asks and whether they may, the supervisor only does it.
import type { PinMode, ToolState } from "../action/mcp/tool-pins.ts";
import type { BrokerCall } from "../broker/broker-calls.ts";
import type { ContainmentEntry, Level, Mode } from "../containment/state.ts";
import type { LabelEntry } from "../containment/label-state.ts";
import type { ContainmentChange } from "../containment/validate-change.ts";
import type { Result } from "../lib/result.ts";
import type { PolicyRevision } from "../policy/decision.ts";

export interface ListenerStatus {
  readonly name: string;
  /** `http://127.0.0.1:8080` */
  readonly url: string;
}

export interface ThreadStatus {
  readonly id: number;
  readonly state: "starting" | "serving" | "draining" | "replaced";
  /** In flight. */
  readonly exchanges: number;
  readonly open_streams: number;
  /** The containment epoch that the thread enforces. */
  readonly epoch: number;
}

export interface ContainmentCounts {
  readonly epoch: number;
  readonly blocked: number;
  readonly quarantined: number;
  readonly draining: number;
}

export interface Status {
  readonly version: string;
  /** RFC 3339 */
  readonly started_at: string;
  readonly uptime_s: number;
  readonly ready: boolean;
  /** Why it is not ready; empty when it is. */
  readonly reasons: readonly string[];
  readonly draining: boolean;
  readonly listeners: readonly ListenerStatus[];
  readonly threads: readonly ThreadStatus[];
  readonly policy: PolicyRevision | null;
  readonly containment: ContainmentCounts;
  readonly replay: { readonly used: number; readonly slots: number };
  readonly audit: { readonly healthy: boolean; readonly detail: string };
  /** The embedded issuer; null where none is configured. While it is away, tokens that it issued stay valid. */
  readonly issuer: { readonly running: boolean } | null;
  /** Wall clock minus the time that the gateway carries forward by itself. */
  readonly clock_drift_ms: number;
}

export interface PolicyInfo {
  readonly bundle: string;
  /** "" where the data was not updated on its own. */
  readonly data: string;
  /** Where it came from: a path or "default". */
  readonly source: string;
  /** RFC 3339 */
  readonly loaded_at: string;
  /** Why the last attempt to change it was refused; absent after a success. */
  readonly last_error?: string;
}

/** Read-only answer of one change: every thread of the list enforces it now. */
export interface Applied {
  readonly epoch: number;
  /** The entry in force; null after a release. */
  readonly entry: ContainmentEntry | null;
  /** `replaced`: the thread was silent and was ended, which is its acknowledgement. */
  readonly threads: readonly { readonly id: number; readonly outcome: "acknowledged" | "replaced" }[];
  readonly took_ms: number;
}

export interface SeenAgent {
  readonly id: string;
  readonly task: string;
  /** `<issuer> <session.id>`: what containment of the level `chain` names. */
  readonly chain: string;
  /** `type:id` */
  readonly principal: string;
  readonly key_thumbprint: string;
  /** RFC 3339 */
  readonly last_seen: string;
  readonly exchanges: number;
  readonly mode: Mode;
}

/** One line of the history: a change that was asked for and became epoch `epoch`. */
export interface ContainmentHistoryLine {
  readonly epoch: number;
  readonly level: Level;
  readonly id: string;
  readonly mode: Mode;
  readonly drainUntilMs?: number;
  readonly reason: string;
  readonly by: string;
  readonly atMs: number;
}

export interface ToolFacts {
  readonly name: string;
  readonly state: ToolState;
  /** Digests; "" where there is none. */
  readonly pinned: string;
  readonly seen: string;
  /** `first_use` or the operator who accepted it. */
  readonly by: string;
  /** RFC 3339, of the last change. */
  readonly at: string;
}

/** A tool that is not as it was pinned. Definitions are canonical JSON; "" where there is none. */
export interface ToolShown extends ToolFacts {
  readonly pinned_definition: string;
  readonly seen_definition: string;
}

export interface ToolServer {
  readonly route: string;
  readonly pin: PinMode;
  readonly on_drift: "block" | "log";
  /** A whole list of its tools was seen. */
  readonly complete: boolean;
  readonly tools: readonly ToolFacts[];
}

export interface ToolProblem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

/** The errors are sentences for the operator: what is wrong and how to mend it. None of these methods throws for them. */
export interface ControlPlane {
  status(): Status | Promise<Status>;
  /** The configuration in force, secrets masked. */
  config(): unknown;
  policy(): PolicyInfo | null;
  reloadPolicy(by: string): Promise<Result<PolicyInfo, string>>;
  /** Replaces the policy's data; `json` is well-formed JSON text of an object. */
  putPolicyData(json: string, by: string): Promise<Result<PolicyInfo, string>>;
  /** Takes that data back: the configured file's, or the bundle's own, is in force again. */
  resetPolicyData(by: string): Promise<Result<PolicyInfo, string>>;
  /** Resolves when every thread enforces the change and it is on disk. `change` was checked by `validateChange`. */
  contain(change: ContainmentChange, by: string): Promise<Result<Applied, string>>;
  release(level: Level, id: string, reason: string, by: string): Promise<Result<Applied, string>>;
  containments(): readonly ContainmentEntry[];
  /** Newest first, at most `limit` lines, only epochs below `beforeEpoch` where given. */
  containmentHistory(limit: number, beforeEpoch?: number): readonly ContainmentHistoryLine[];
  labels(): readonly LabelEntry[];
  /** Of every session whose chain or task this is. Resolves with how many when no thread enforces them and the disk knows. */
  removeLabels(id: string): Promise<Result<number, string>>;
  /** Asks the embedded issuer; refuses with a problem where none is configured, or while it is away. */
  readonly issuer: BrokerCall;
  /** Of each route that pins tools. */
  toolServers(): readonly ToolServer[];
  waitingTools(route: string): Result<readonly ToolShown[], ToolProblem>;
  /** Without a tool all that wait. Where `digest` is given, only a tool that was seen with it last. */
  acceptTools(
    route: string,
    tool: string | undefined,
    digest: string | undefined,
    by: string,
  ): Result<readonly string[], ToolProblem>;
  agents(): readonly SeenAgent[] | Promise<readonly SeenAgent[]>;
  /** Prometheus text format. */
  metrics(): Promise<string>;
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
}
