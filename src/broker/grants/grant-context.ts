// In: nothing; types only. Out: what every grant needs: the state, the keys, the time, and what the operator configured.
import type { BrokerLog } from "../broker-message.ts";
import type { Feed } from "../feed.ts";
import type { CertificateAuthority } from "../x509/authority.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import type { BrokerState } from "../state/open-state.ts";
import type { TokenIssuer } from "./agent-token.ts";
import type { SubjectVerifier } from "./verify-subject.ts";
import type { Publishers } from "./verify-manifest.ts";

export interface GrantContext {
  readonly state: BrokerState;
  readonly keyRing: KeyRing;
  readonly issuer: TokenIssuer;
  /** The resources that tokens may be for; the first one is the default. */
  readonly publicOrigins: readonly string[];
  readonly detailsTypes: ReadonlySet<string>;
  readonly publishers: Publishers;
  readonly subjects: SubjectVerifier;
  /** Undefined where `broker.x509_svid` is off. */
  readonly authority: CertificateAuthority | undefined;
  /** To the gateway: what was ended or replaced here. */
  readonly feed: Feed;
  readonly nowMs: () => number;
  /** One line for the log; within a budget where a caller can cause it at its own speed. */
  readonly tell: (entry: BrokerLog) => void;
}
