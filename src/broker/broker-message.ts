// In: nothing; types only. Out: what the supervisor and the broker's thread say to each other.
import type { BrokerConfig } from "../config/schema.ts";
import type { FeedEvent, RevokedLevel } from "../containment/revocation.ts";
import type { Application } from "../lib/application-schema.ts";
import type { ClockBase } from "../lib/clock.ts";
import type { KeyFacts } from "./keys/key-ring.ts";

export interface BrokerThreadData {
  readonly broker: BrokerConfig;
  readonly publicOrigins: readonly string[];
  readonly dataFolder: string;
  readonly clock: ClockBase;
  /** Assertions that were made before are refused, in Unix milliseconds: what was used before a restart is forgotten. */
  readonly assertionsFromMs: number;
}

/** One line for the log: no token, assertion, proof or key is ever in it. */
export interface BrokerLog {
  readonly level: "info" | "warn" | "error";
  readonly event:
    | "token_issued"
    | "token_renewed"
    | "token_refused"
    | "launched"
    | "launch_token_reused"
    | "connection_refused"
    | "issuer_error"
    | "revoked"
    | "signing_key"
    | "feed_failed";
  readonly client_id?: string;
  readonly key_thumbprint?: string;
  readonly jti?: string;
  readonly scope?: string;
  /** SPIFFE id. */
  readonly agent?: string;
  readonly error?: string;
  readonly detail?: string;
  /** Lines of this kind that were not told since the last one. */
  readonly left_out?: number;
  /** A security event, for an operator to look at now: it is told as an alert too. */
  readonly alert?: "medium" | "high";
}

/** What the supervisor may ask the issuer's thread: parameters and result of each method. */
export interface BrokerMethods {
  "keys.list": { readonly params: Readonly<Record<string, never>>; readonly result: readonly KeyFacts[] };
  "keys.rotate": { readonly params: Readonly<Record<string, never>>; readonly result: KeyFacts };
  "applications.list": {
    readonly params: Readonly<Record<string, never>>;
    readonly result: readonly ApplicationFacts[];
  };
  "applications.show": {
    readonly params: { readonly name: string };
    readonly result: ApplicationFacts & { readonly definition: Application };
  };
  "applications.add": { readonly params: { readonly definition: unknown }; readonly result: ApplicationFacts };
  "applications.replace": {
    readonly params: { readonly name: string; readonly definition: unknown };
    readonly result: ApplicationFacts;
  };
  "applications.rotate": {
    readonly params: { readonly name: string; readonly jwks: unknown };
    readonly result: ApplicationFacts;
  };
  "applications.remove": {
    readonly params: { readonly name: string; readonly reason: string; readonly by: string };
    readonly result: { readonly name: string; readonly agents: number; readonly enforced: boolean };
  };
  "revocations.revoke": { readonly params: RevokeRequest; readonly result: Revoked };
}

export interface RevokeRequest {
  readonly level: RevokedLevel;
  readonly id: string;
  readonly reason: string;
  /** Operator, or `client:` and a client's id. */
  readonly by: string;
}

export interface Revoked {
  readonly level: RevokedLevel;
  readonly id: string;
  /** Agents that lived until now. */
  readonly agents: number;
  /** RFC 3339: after this no credential of it could be valid anyway. */
  readonly until: string;
  /** False where a data thread did not say in time that it refuses them; the change itself is on disk. */
  readonly enforced: boolean;
}

export interface ApplicationFacts {
  readonly name: string;
  readonly source: "config" | "operator";
  /** Public keys that its orchestrator may sign with. */
  readonly keys: number;
  readonly created_at: string;
  readonly updated_at: string;
}

/** An expected refusal, as the operators' API answers it. */
export interface CallProblem {
  readonly status: number;
  readonly code: string;
  /** One sentence: no secret, and nothing of another application. */
  readonly detail: string;
}

export type FromBroker =
  | { readonly type: "ready"; readonly url: string }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "log"; readonly entry: BrokerLog }
  /** Credentials that were ended or replaced. `id` is the broker's own number of this message. */
  | { readonly type: "feed"; readonly id: number; readonly events: readonly FeedEvent[] }
  /** To a call of that number: its result, or why it is refused. */
  | { readonly type: "answer"; readonly id: number; readonly result: unknown }
  | { readonly type: "answer"; readonly id: number; readonly problem: CallProblem };

export type ToBroker =
  | { readonly type: "close" }
  | { readonly type: "call"; readonly id: number; readonly method: string; readonly params: unknown }
  /** Every data thread enforces what the feed of this number said. */
  | { readonly type: "fed"; readonly id: number };
