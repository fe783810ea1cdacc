// In: the configured issuers and the shared memory of this process. Out: the proof of the caller, for one thread.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import type { IssuerConfig } from "../../config/schema.ts";
import { type Authenticate, createAuthenticator } from "../../token/authenticate.ts";
import { createFailedProofs } from "../../token/failed-proofs.ts";
import { createKeySet, type KeySet } from "../../token/key-set.ts";
import { createNonceService } from "../../token/nonce-service.ts";
import { createProofVerifier } from "../../token/proof-verifier.ts";
import { attachReplayTable } from "../../token/replay-table.ts";
import { createTokenVerifier } from "../../token/token-verifier.ts";
import { createJwksFetcher } from "../../upstream/fetch-jwks.ts";
import type { DataThreadStart } from "../thread-messages.ts";

export function createThreadAuthenticator(start: DataThreadStart, warn: (message: string) => void): Authenticate {
  const { config, shared } = start;
  const nonces = config.proof.nonce === "required" ? createNonceService(shared.nonceKey) : undefined;
  return createAuthenticator({
    tokens: createTokenVerifier({
      issuers: config.issuers,
      keySets: new Map(config.issuers.map((issuer) => [issuer.issuer, keySetOf(issuer, warn)])),
      limits: config.limits,
    }),
    proofs: createProofVerifier({
      proof: config.proof,
      replay: attachReplayTable(shared.replay, shared.replayKey),
      startedAtMs: start.proofsFromMs,
      nonces,
      keyCacheEntries: config.limits.token_cache_entries,
    }),
    failures: createFailedProofs(config.limits.failed_proofs_per_peer_max),
    algorithms: config.proof.algorithms,
    nonces,
  });
}

/** For so long at most does a key that was taken out of a file still count. */
const FILE_AGE_MS_MAX = 1000;

function keySetOf(issuer: IssuerConfig, warn: (message: string) => void): KeySet {
  const { jwks } = issuer;
  const format = issuer.kind === "spiffe" ? "spiffe_bundle" : "jwks";
  const keySet =
    "file" in jwks
      ? createKeySet({
          format,
          url: pathToFileURL(jwks.file).href,
          cooldownMs: FILE_AGE_MS_MAX,
          maxAgeMs: FILE_AGE_MS_MAX,
          fetchText: (url) => readFile(new URL(url), "utf8"),
          initialText: textOf(jwks.file),
        })
      : createKeySet({
          format,
          url: jwks.url,
          cooldownMs: jwks.cooldown_s * 1000,
          maxAgeMs: jwks.max_age_s * 1000,
          fetchText: createJwksFetcher({
            timeoutMs: jwks.timeout_ms,
            allowPrivateAddresses: jwks.allow_private_addresses,
          }),
        });
  for (const problem of keySet.problems) warn(`keys of ${issuer.issuer}: ${problem}`);
  keySet.onChange(() => {
    for (const problem of keySet.problems) warn(`keys of ${issuer.issuer}: ${problem}`);
  });
  keySet.onProblem((problem) => {
    if (problem === undefined) warn(`keys of ${issuer.issuer}: they can be read again`);
    else warn(`keys of ${issuer.issuer}: ${problem}; keys that are known work on`);
  });
  return keySet;
}

/** A thread that is started while the file is being replaced reads it with its first request. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
