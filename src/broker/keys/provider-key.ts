// In: the key ring. Out: the one key that oidc-provider knows, which is always the one that signs at that moment.
// oidc-provider reads its keys once, when it is made; a key whose signing is done elsewhere is its own way around that.
import type { KeyObject } from "node:crypto";
import { ExternalSigningKey } from "oidc-provider/lib/helpers/keystore.js";
import type { KeyRing } from "./key-ring.ts";

/** Needs `features.externalSigningSupport`. `kid` and `sign` agree also when the ring turns between them. */
export function createProviderKey(ring: KeyRing): ExternalSigningKey {
  class ProviderKey extends ExternalSigningKey {
    override get kid(): string {
      return ring.kid;
    }

    override get alg(): string {
      return "ES256";
    }

    override keyObject(): KeyObject {
      return ring.publicKey;
    }

    override sign(signingInput: Uint8Array): Uint8Array {
      return ring.sign(signingInput);
    }
  }
  return new ProviderKey();
}
