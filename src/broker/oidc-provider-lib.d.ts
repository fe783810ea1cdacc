// The modules of oidc-provider that the broker imports by their files, typed as its public exports.
// Its index prints a warning on every runtime that is not yet a long-term release; these files do not.
declare module "oidc-provider/lib/provider.js" {
  export { Provider } from "oidc-provider";
}

declare module "oidc-provider/lib/helpers/errors.js" {
  import { errors } from "oidc-provider";
  export import CustomOIDCProviderError = errors.CustomOIDCProviderError;
  export import InvalidClientAuth = errors.InvalidClientAuth;
  export import InvalidDpopProof = errors.InvalidDpopProof;
  export import InvalidGrant = errors.InvalidGrant;
  export import InvalidRequest = errors.InvalidRequest;
  export import InvalidScope = errors.InvalidScope;
  export import InvalidTarget = errors.InvalidTarget;
  export import InvalidToken = errors.InvalidToken;
  export import TemporarilyUnavailable = errors.TemporarilyUnavailable;
}

declare module "oidc-provider/lib/helpers/keystore.js" {
  export { ExternalSigningKey } from "oidc-provider";
}

// What its own grants use to check a proof: it hands grants that are registered from outside no such thing.
declare module "oidc-provider/lib/helpers/validate_dpop.js" {
  import type { KoaContextWithOIDC, Provider, errors } from "oidc-provider";
  export interface Proof {
    /** RFC 7638 thumbprint of the proof's key. */
    readonly thumbprint: string;
    readonly jti: string;
    readonly iat: number;
  }
  /** Undefined where the request has no proof. Throws `use_dpop_nonce` or `invalid_dpop_proof`. */
  export default function validateDpop(
    provider: Provider,
    ctx: KoaContextWithOIDC,
    accessToken?: string,
  ): Promise<Proof | undefined>;
  export function checkDpopReplay(
    provider: Provider,
    ctx: KoaContextWithOIDC,
    proof: Proof,
    clientId: string,
    ErrorClass?: new (description: string) => errors.OIDCProviderError,
  ): Promise<void>;
}
