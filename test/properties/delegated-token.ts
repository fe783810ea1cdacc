// In: tokens of delegates, of which the issuer wrote one or two claims otherwise. Out: the property of what is accepted.
// The model: what a token must share with its last record, written plainly, with deeds.ts for what a constraint means.
import assert from "node:assert/strict";
import fc from "fast-check";
import type { DelegationRecord } from "../../src/lib/parse-delegation-record.ts";
import { createKeySet } from "../../src/token/key-set.ts";
import { createTokenVerifier } from "../../src/token/token-verifier.ts";
import { delegatedClaims, idOf, makeChain, PRINCIPAL, TASK } from "../fixtures/delegation.ts";
import { ISSUER, JWKS, makeKey, makeToken, NOW_MS, NOW_S } from "../unit/token/token-fixtures.ts";
import { deedsOf, permits } from "./deeds.ts";
import { ACCEPTED, property } from "./property.ts";

/** Whole, so that a kept case is judged again without the keys that made its records; the issuer signs it anew. */
interface TokenOfDelegate {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly records: readonly DelegationRecord[];
  /** Nothing was changed: it must be accepted. */
  readonly honest: boolean;
}

const SHORT = { 2: { scope: ["read:candidates:J42"], constraints: { job_id: "J42", amount: { max: 10 } } } };
const CHAINS = [makeChain(1), makeChain(2, SHORT), makeChain(3)];
const OTHER = makeKey();

type Claims = ReturnType<typeof delegatedClaims>;
type Cordon = Claims["cordon"];
type Change = (claims: Claims) => object;

const inCordon =
  (change: (cordon: Cordon) => object): Change =>
  ({ cordon }) => ({ cordon: { ...cordon, ...change(cordon) } });
const intent = (change: object): Change => inCordon((cordon) => ({ intent: { ...cordon.intent, ...change } }));
const session = (change: object): Change => inCordon((cordon) => ({ session: { ...cordon.session, ...change } }));
const lastHop = (change: object): Change =>
  inCordon(({ session: told }) => ({
    session: { ...told, chain: [...told.chain.slice(0, -1), { ...told.chain.at(-1), ...change }] },
  }));

const SCOPES = "read:candidates:* read:candidates:J42 write:scores:1 delete:scores:*".split(" ");
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.subarray(SCOPES).map((scope) => intent({ scope })),
  fc
    .record(
      {
        job_id: fc.constantFrom<unknown>("J42", ["J42"], ["J42", "J43"], ["J42", "J44"]),
        amount: fc.constantFrom<unknown>({ max: 10 }, { max: 500 }, { max: 501 }, { max: 5, min: 1 }, 5),
      },
      { requiredKeys: [] },
    )
    .map((constraints) => intent({ constraints })),
  fc
    .constantFrom<unknown[]>([], [{ type: "ranking", actions: "read", limit: { max: 5 } }], [{ type: "ranking" }])
    .map((details) => intent({ details })),
  fc.constantFrom(100, 3570, 3590, 3600).map((s) => intent({ expires_at: new Date((NOW_S + s) * 1000).toISOString() })),
  fc.constantFrom("rank a part of the candidates", "other").map((purpose) => intent({ purpose })),
  fc.constantFrom(190, 290, 3600).map((s) => () => ({ exp: NOW_S + s })),
  fc.constantFrom<unknown>({ jkt: OTHER.thumbprint }, { "x5t#S256": OTHER.thumbprint }).map((cnf) => () => ({ cnf })),
  fc.constantFrom(idOf(OTHER), `${TASK}/x`).map(
    (sub): Change =>
      ({ cordon }) => ({
        sub,
        cordon: { ...cordon, agent: undefined },
      }),
  ),
  fc.constantFrom<unknown>(0, 1, 2, 3, 5).map((depth) => session({ depth })),
  fc.constantFrom("session-1", "session-2").map((id) => session({ id })),
  fc.constant(session({ chain: [] })),
  fc.constantFrom<object>({ at: "2027-01-15T08:00:00Z" }, { at: "2027-01-15T09:00:00+01:00" }).map(lastHop),
  fc.constantFrom<object>({ scope: [] }, { delegate: idOf(OTHER) }, { delegator: idOf(OTHER) }).map(lastHop),
  fc
    .constantFrom<object>({ id: "bob" }, { type: "service" }, { attributes: { team: "x" } })
    .map((change) => inCordon(({ principal }) => ({ principal: { ...principal, ...change } }))),
  fc.constantFrom<unknown>(undefined, null, {}).map((delegation) => inCordon(() => ({ delegation }))),
);

const tokens: fc.Arbitrary<TokenOfDelegate> = fc
  .tuple(fc.constantFrom(...CHAINS), fc.array(changes, { maxLength: 2 }))
  .map(([chain, list]) => {
    let claims = delegatedClaims(chain);
    for (const change of list) claims = { ...claims, ...change(claims) };
    const plain = JSON.parse(JSON.stringify(claims)) as TokenOfDelegate["claims"];
    return { claims: plain, records: chain.hops.map(({ payload }) => payload), honest: list.length === 0 };
  });

export const DELEGATED_TOKENS = [
  property<TokenOfDelegate>({
    name: "delegation.token",
    says: "a delegate's token is accepted only if it says no more than its last record, and the chain as the records do",
    inputs: tokens,
    check: checkToken,
    runs: 400,
  }),
];

function checkToken({ claims, records, honest }: TokenOfDelegate): string {
  const verifier = createTokenVerifier({
    issuers: [{ ...ISSUER, max_lifetime_s: 7200 }],
    keySets: new Map([[ISSUER.issuer, createKeySet({ jwks: JWKS })]]),
    limits: { token_bytes_max: 16_384, token_cache_entries: 1 },
  });
  const result = verifier.verify(makeToken(claims), NOW_MS);
  assert.ok(!(result instanceof Promise));
  if (!result.ok) {
    assert.ok(!honest, `an honest token was refused: ${result.error.detail}`);
    return result.error.reason;
  }
  assert.equal(faultOf(claims as unknown as Claims, records), undefined);
  assert.deepEqual(
    result.value.claims.session.chain.map(({ delegator, delegate, scope }) => [delegator, delegate, scope]),
    records.map(({ iss, sub, scope }) => [iss, sub, scope]),
  );
  return ACCEPTED;
}

/** Undefined where the token and its records agree. */
function faultOf({ sub, cnf, cordon, ...rest }: Claims, records: readonly DelegationRecord[]): string | undefined {
  const last = records.at(-1);
  if (last === undefined || !cordon.delegation?.records?.length) return "no records";
  const { intent: said, session: told, principal } = cordon;
  if (sub !== last.sub || cnf.jkt !== last.delegate_jkt) return "another agent";
  if (said.purpose !== last.purpose) return "another purpose";
  const until = (rest as { exp?: number }).exp ?? NOW_S + 290;
  if (until > last.exp || Date.parse(said.expires_at) > last.exp * 1000) return "longer";
  for (const scope of said.scope) {
    const star = scope.replace(/[^:]*$/, "*");
    if (!last.scope.includes(scope) && !last.scope.includes(star)) return "scope";
  }
  for (const deed of [...deedsOf(said.constraints), ...deedsOf(last.constraints)]) {
    if (permits(said.constraints, deed) && !permits(last.constraints, deed)) return "constraints";
  }
  for (const entry of said.details) {
    const within = last.details.some((wider) =>
      deedsOf(entry).every((deed) => !permits(entry, deed) || permits(wider, deed)),
    );
    if (!within) return "details";
  }
  if (told.id !== last.session || principal.id !== PRINCIPAL.id || principal.type !== PRINCIPAL.type)
    return "another chain";
  if (told.depth !== records.length || told.chain.length !== records.length) return "depth";
  const same = records.every((record, index) => {
    const hop = told.chain[index];
    return (
      hop?.delegator === record.iss &&
      hop.delegate === record.sub &&
      JSON.stringify(hop.scope) === JSON.stringify(record.scope) &&
      Date.parse(hop.at) === record.iat * 1000
    );
  });
  return same ? undefined : "chain";
}
