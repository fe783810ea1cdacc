import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { createKeySet } from "../../src/token/key-set.ts";
import { parseCompactJws } from "../../src/lib/parse-compact-jws.ts";
import { createSignatureVerifier, VERIFIED_ALGORITHMS } from "../../src/lib/signature-verifier.ts";

interface WycheproofTest {
  readonly tcId: number;
  readonly comment: string;
  readonly jws: unknown;
  readonly result: "valid" | "invalid";
}
interface WycheproofGroup {
  readonly public?: Readonly<Record<string, unknown>>;
  readonly private?: Readonly<Record<string, unknown>>;
  readonly tests: readonly WycheproofTest[];
}

const ALGORITHMS: ReadonlySet<string> = new Set(VERIFIED_ALGORITHMS);

/** The path that every access token takes before its claims are read: parse, allow-list, key set, signature. */
async function accepts(jws: string, jwks: unknown): Promise<boolean> {
  const parsed = parseCompactJws(jws, 16_384);
  if (!parsed.ok) return false;
  const { alg, kid } = parsed.value.header;
  if (typeof alg !== "string" || !ALGORITHMS.has(alg) || (kid !== undefined && typeof kid !== "string")) return false;
  const found = await createKeySet({ jwks }).find(kid, alg, 0);
  if (!found.ok) return false;
  return createSignatureVerifier(found.value, alg)?.(parsed.value.signingInput, parsed.value.signature) ?? false;
}

/** A valid case whose keys are symmetric or whose algorithm is not allowed is refused all the same. */
function isAllowed(group: WycheproofGroup, jws: string): boolean {
  return group.public !== undefined && ALGORITHMS.has(algorithmOf(jws));
}

function algorithmOf(jws: string): string {
  const header = JSON.parse(Buffer.from(jws.split(".")[0] ?? "", "base64url").toString()) as { alg?: string };
  return header.alg ?? "";
}

/**
 * Cases that are stated as valid though the JWK's own `alg` is another than the header's (RFC 7520 figures 20 and 27,
 * with `PS256` for PS384 and the misspelt `ES521`). RFC 7517 section 4.4 is honoured here, as JWS case 340 and
 * JWK case 19 demand, so they are refused; without the contradicting member they must be accepted.
 */
const CONTRADICTED_BY_KEY: ReadonlySet<string> = new Set(["jws 346", "jws 347", "jws 350", "jws 351"]);

for (const [name, count] of [
  ["jws", 401],
  ["jwk", 26],
] as const) {
  const file = `wycheproof-${name}.json`;
  const url = new URL(`../../../shared/vectors/${file}`, import.meta.url);
  const missing = !existsSync(url);
  const skip = missing && process.env.CI === undefined ? `test vectors not found at ../shared/vectors/${file}` : false;
  test(`H08: every case of ${file}: invalid refused, valid of an allowed algorithm accepted`, { skip }, async (t) => {
    assert.ok(!missing, `the test vectors must be at ../shared/vectors/${file}, beside the project's root`);
    const { testGroups } = JSON.parse(readFileSync(url, "utf8")) as { testGroups: readonly WycheproofGroup[] };
    let cases = 0;
    let accepted = 0;
    for (const group of testGroups) {
      const keys = group.public ?? group.private;
      const jwks = keys !== undefined && "keys" in keys ? keys : { keys: [keys] };
      for (const { tcId, comment, jws: given, result } of group.tests) {
        cases++;
        const jws = typeof given === "string" ? given : JSON.stringify(given);
        const contradicted = CONTRADICTED_BY_KEY.has(`${name} ${tcId}`);
        if (contradicted) {
          assert.notEqual(group.public?.alg, algorithmOf(jws));
          assert.ok(await accepts(jws, { keys: [{ ...group.public, alg: undefined }] }), `case ${tcId} without alg`);
        }
        const expected = result === "valid" && isAllowed(group, jws) && !contradicted;
        const got = await accepts(jws, jwks);
        if (got) accepted++;
        assert.equal(got, expected, `case ${tcId}: ${comment} (${result})`);
      }
    }
    assert.equal(cases, count);
    t.diagnostic(`${accepted} of ${cases} cases accepted`);
  });
}
