// The modules of oidc-provider that the broker imports by their files, typed as its public exports.
// Its index prints a warning on every runtime that is not yet a long-term release; these files do not.
declare module "oidc-provider/lib/provider.js" {
  export { Provider } from "oidc-provider";
}

declare module "oidc-provider/lib/helpers/errors.js" {
  import { errors } from "oidc-provider";
  export import InvalidClientAuth = errors.InvalidClientAuth;
  export import InvalidGrant = errors.InvalidGrant;
  export import InvalidRequest = errors.InvalidRequest;
  export import InvalidScope = errors.InvalidScope;
  export import InvalidTarget = errors.InvalidTarget;
  export import TemporarilyUnavailable = errors.TemporarilyUnavailable;
}

declare module "oidc-provider/lib/helpers/keystore.js" {
  export { ExternalSigningKey } from "oidc-provider";
}
