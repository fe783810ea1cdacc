// In: nothing; types only. Out: what the supervisor and the broker's thread say to each other.
import type { BrokerConfig } from "../config/schema.ts";
import type { FeedEvent } from "../containment/revocation.ts";
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
    | "token_refused"
    | "launched"
    | "launch_token_reused"
    | "connection_refused"
    | "issuer_error"
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
