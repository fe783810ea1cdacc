// In: nothing; types only. Out: what the supervisor and the broker's thread say to each other.
import type { BrokerConfig } from "../config/schema.ts";
import type { FeedEvent } from "../containment/revocation.ts";
import type { ClockBase } from "../lib/clock.ts";

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
    | "connection_refused"
    | "issuer_error"
    | "signing_key"
    | "feed_failed";
  readonly client_id?: string;
  readonly key_thumbprint?: string;
  readonly jti?: string;
  readonly scope?: string;
  readonly error?: string;
  readonly detail?: string;
  /** Lines of this kind that were not told since the last one. */
  readonly left_out?: number;
}

export type FromBroker =
  | { readonly type: "ready"; readonly url: string }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "log"; readonly entry: BrokerLog }
  /** Credentials that were ended or replaced. `id` is the broker's own number of this message. */
  | { readonly type: "feed"; readonly id: number; readonly events: readonly FeedEvent[] };

export type ToBroker =
  | { readonly type: "close" }
  /** Every data thread enforces what the feed of this number said. */
  | { readonly type: "fed"; readonly id: number };
