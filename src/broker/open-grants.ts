// In: the broker's configuration and its opened state. Out: what the grants need, with every key file read.
// Throws an Error of one line that names the file and what to mend; a private key in such a file is refused.
import { readFile } from "node:fs/promises";
import type { JSONWebKeySet } from "jose";
import type { BrokerConfig } from "../config/schema.ts";
import type { Application } from "../lib/application-schema.ts";
import { checkPublicJwk, importPublicKey, type PublicKey } from "../lib/public-key.ts";
import { isObject, parseStrictObject } from "../lib/strict-json.ts";
import type { BrokerLog } from "./broker-message.ts";
import type { Feed } from "./feed.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { createSubjectVerifier } from "./grants/verify-subject.ts";
import type { KeyRing } from "./keys/key-ring.ts";
import { checkApplicationKeys } from "./state/applications.ts";
import type { CertificateAuthority } from "./x509/authority.ts";
import type { BrokerState } from "./state/open-state.ts";

export async function openGrants(options: {
  readonly broker: BrokerConfig;
  readonly publicOrigins: readonly string[];
  readonly keyRing: KeyRing;
  readonly state: BrokerState;
  readonly authority?: CertificateAuthority | undefined;
  readonly feed: Feed;
  readonly nowMs: () => number;
  readonly tell: (entry: BrokerLog) => void;
}): Promise<GrantContext> {
  const { broker, publicOrigins, keyRing, state, authority, feed, nowMs, tell } = options;
  await putConfigured(broker, state);
  const publishers = new Map<string, readonly PublicKey[]>();
  for (const { name, jwks } of broker.publishers) {
    publishers.set(name, importKeys(`broker publisher ${name}: ${jwks}`, await readKeySet(jwks)));
  }
  const files = new Map<string, JSONWebKeySet>();
  for (const { issuer, jwks } of broker.identity_providers) {
    if (!("file" in jwks)) continue;
    const keySet = await readKeySet(jwks.file);
    importKeys(`broker identity provider ${issuer}: ${jwks.file}`, keySet);
    files.set(jwks.file, keySet);
  }
  return {
    state,
    keyRing,
    issuer: { issuer: broker.issuer, trustDomain: broker.trust_domain },
    publicOrigins,
    detailsTypes: new Set(broker.authorization_details_types),
    publishers,
    subjects: createSubjectVerifier(broker.identity_providers, files),
    authority,
    feed,
    nowMs,
    tell,
  };
}

async function putConfigured(broker: BrokerConfig, state: BrokerState): Promise<void> {
  const applications: Application[] = [];
  for (const { jwks: file, ...ceiling } of broker.applications) {
    const keys = checkApplicationKeys(await readKeySet(file));
    if (!keys.ok) throw new Error(`broker application ${ceiling.name}: ${file}: ${keys.error}`);
    applications.push({ ...ceiling, jwks: keys.value });
  }
  state.applications.putConfigured(applications);
}

async function readKeySet(file: string): Promise<{ keys: Record<string, unknown>[] }> {
  const keySet = parseStrictObject(await readFile(file));
  // What is wrong inside is not quoted: it may be key material.
  if (keySet === undefined || !Array.isArray(keySet["keys"]) || !keySet["keys"].every(isObject)) {
    throw new Error(`${file} is not a JWKS`);
  }
  return { keys: keySet["keys"] };
}

function importKeys(whose: string, { keys }: { readonly keys: readonly unknown[] }): readonly PublicKey[] {
  return keys.map((jwk, index) => {
    const checked = checkPublicJwk(jwk);
    const imported = checked.ok ? importPublicKey(checked.value) : checked;
    if (!imported.ok) throw new Error(`${whose}: keys[${index}]: ${imported.error.detail}`);
    return imported.value;
  });
}
