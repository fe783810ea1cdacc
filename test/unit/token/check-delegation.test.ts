import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeySet } from "../../../src/token/key-set.ts";
import { createTokenVerifier } from "../../../src/token/token-verifier.ts";
import {
  chainOf,
  delegatedClaims,
  idOf,
  makeChain,
  PRINCIPAL,
  TASK,
  type TestChain,
} from "../../fixtures/delegation.ts";
import { AGENT_KEY, ISSUER, JWKS, makeKey, makeToken, NOW_MS, NOW_S } from "./token-fixtures.ts";

const LIMITS = { token_bytes_max: 16_384, token_cache_entries: 10 };

function verifierFor(issuer = ISSUER) {
  return createTokenVerifier({
    issuers: [issuer],
    keySets: new Map([[issuer.issuer, createKeySet({ jwks: JWKS })]]),
    limits: LIMITS,
  });
}

function outcome(token: string, verifier = verifierFor()): string {
  const result = verifier.verify(token, NOW_MS);
  assert.ok(!(result instanceof Promise));
  return result.ok ? "ok" : `${result.error.reason} ${result.error.detail ?? ""}`;
}

type Claims = ReturnType<typeof delegatedClaims>;
type Cordon = Claims["cordon"];

function tokenWith(
  chain: TestChain,
  change: (cordon: Cordon) => unknown = (cordon) => cordon,
  claims: object = {},
): string {
  const own = delegatedClaims(chain);
  return makeToken({ ...own, cordon: change(own.cordon), ...claims });
}

test("a delegate's token of one to five hops is accepted, and its chain is what the records say", () => {
  for (let length = 1; length <= 5; length++) {
    const chain = makeChain(length);
    const result = verifierFor().verify(tokenWith(chain), NOW_MS);
    assert.ok(!(result instanceof Promise) && result.ok, JSON.stringify(result));
    const { session } = result.value.claims;
    assert.deepEqual(
      session.chain.map(({ delegator, delegate }) => [delegator, delegate]),
      chain.hops.map(({ payload }) => [payload.iss, payload.sub]),
    );
    assert.equal(session.depth, length);
    assert.match(session.chain[0]?.at ?? "", /^2027-01-15T08:00:00Z$/);
  }
});

test("a token that tells a chain or a depth without records, or records without a chain, is refused", () => {
  const chain = makeChain(2);
  const none = { delegation: undefined };
  for (const change of [
    (cordon: Cordon) => ({ ...cordon, ...none }),
    (cordon: Cordon) => ({ ...cordon, ...none, session: { ...cordon.session, chain: [] } }),
    (cordon: Cordon) => ({ ...cordon, session: { ...cordon.session, depth: 0, chain: [] } }),
    (cordon: Cordon) => ({ ...cordon, session: { ...cordon.session, depth: 3 } }),
    (cordon: Cordon) => ({ ...cordon, session: { ...cordon.session, chain: cordon.session.chain.slice(0, 1) } }),
    (cordon: Cordon) => ({ ...cordon, session: { ...cordon.session, chain: cordon.session.chain.toReversed() } }),
    (cordon: Cordon) => ({ ...cordon, delegation: null }),
    (cordon: Cordon) => ({ ...cordon, delegation: { ...cordon.delegation, records: [] } }),
  ]) {
    assert.match(outcome(tokenWith(chain, change)), /^token\.delegation /, String(change));
  }
});

test("a token that disagrees with its last record is refused, in every claim that the record binds", () => {
  const chain = makeChain(2);
  const other = makeKey();
  const intent = (change: object) => (cordon: Cordon) => ({ ...cordon, intent: { ...cordon.intent, ...change } });
  const session = (change: object) => (cordon: Cordon) => ({ ...cordon, session: { ...cordon.session, ...change } });
  const hop = (change: object) => (cordon: Cordon) =>
    session({ chain: cordon.session.chain.map((one, index) => (index === 1 ? { ...one, ...change } : one)) })(cordon);
  const cases: readonly (readonly [string, (cordon: Cordon) => unknown, object?])[] = [
    ["sub", (cordon) => ({ ...cordon, agent: undefined }), { sub: idOf(other) }],
    ["cnf.jkt", (cordon) => cordon, { cnf: { jkt: AGENT_KEY.thumbprint } }],
    ["cnf.jkt", (cordon) => cordon, { cnf: { "x5t#S256": AGENT_KEY.thumbprint } }],
    ["intent.purpose", intent({ purpose: "pay everyone" })],
    ["intent.scope", intent({ scope: ["read:candidates:*", "delete:candidates:J42"] })],
    ["intent.constraints", intent({ constraints: { job_id: "J42" } })],
    ["intent.details", intent({ details: [{ type: "ranking", actions: ["hire"], limit: { max: 1 } }] })],
    ["intent.expires_at", intent({ expires_at: new Date((NOW_S + 3581) * 1000).toISOString() })],
    ["session.chain", hop({ delegator: idOf(other) })],
    ["session.chain", hop({ delegate: idOf(other) })],
    ["session.chain", hop({ scope: ["read:candidates:*"] })],
    ["session.chain", hop({ at: "2027-01-15T08:00:02Z" })],
  ];
  for (const [detail, change, claims] of cases) {
    assert.equal(outcome(tokenWith(chain, change, claims)), `token.delegation token_disagrees: ${detail}`, detail);
  }
  for (const change of [
    session({ id: "s2" }),
    (cordon: Cordon) => ({ ...cordon, principal: { ...PRINCIPAL, id: "bob" } }),
  ]) {
    assert.match(outcome(tokenWith(chain, change)), /^token\.delegation record_spliced at hop 1/);
  }
  const short = makeChain(1, { 1: { exp: NOW_S + 100 } });
  assert.equal(outcome(tokenWith(short)), "token.delegation token_disagrees: exp");
});

test("a token may give less than its last record", () => {
  const token = tokenWith(makeChain(2), (cordon) => ({
    ...cordon,
    intent: {
      ...cordon.intent,
      scope: ["read:candidates:J42"],
      constraints: { ...cordon.intent.constraints, job_id: "J42" },
      details: [],
      expires_at: new Date((NOW_S + 290) * 1000).toISOString(),
    },
  }));
  assert.equal(outcome(token), "ok");
});

test("a record of the chain that is forged, cut out or from another chain refuses the token and says which hop", () => {
  const chain = makeChain(3);
  const records = (list: readonly (string | undefined)[]) => (cordon: Cordon) => ({
    ...cordon,
    delegation: { ...cordon.delegation, records: list },
  });
  const [one, two, three] = chain.records;
  const other = chainOf(chain.keys, { changes: { 1: { purpose: "other" } } });
  assert.match(outcome(tokenWith(chain, records([one, three]))), /^token\.delegation record_order at hop 2/);
  assert.match(outcome(tokenWith(chain, records([one, two]))), /^token\.delegation token_disagrees: sub/);
  assert.match(
    outcome(tokenWith(chain, records([other.records[0], two, three]))),
    /^token\.delegation record_spliced at hop 2/,
  );
  const rootOf = (change: object) => (cordon: Cordon) => ({
    ...cordon,
    delegation: { ...cordon.delegation, root: { ...cordon.delegation.root, ...change } },
  });
  const [, stranger = makeKey()] = chain.keys;
  assert.match(outcome(tokenWith(chain, rootOf({ scope: [] }))), /scope_wider at hop 1/);
  assert.match(
    outcome(tokenWith(chain, rootOf({ id: idOf(stranger), jkt: stranger.thumbprint }))),
    /record_signer at hop 1/,
  );
  assert.match(outcome(tokenWith(chain, rootOf({ id: `${TASK}/x` }))), /record_malformed/);
});

test("the records are verified once and kept with the token", () => {
  const verifier = verifierFor();
  const token = tokenWith(makeChain(5));
  const first = verifier.verify(token, NOW_MS);
  const second = verifier.verify(token, NOW_MS + 1000);
  assert.equal(first, second);
});

test("an issuer whose chain the configuration maps vouches for it without records", () => {
  const vouching = { ...ISSUER, claims: { "session.chain": { claim: "hops" } } };
  const hop = { delegator: idOf(makeKey()), delegate: idOf(AGENT_KEY), scope: [], at: "2027-01-15T08:00:00Z" };
  const token = makeToken({ hops: [hop] });
  const result = verifierFor(vouching).verify(token, NOW_MS);
  assert.ok(!(result instanceof Promise) && result.ok);
  assert.deepEqual([result.value.claims.session.depth, result.value.claims.session.chain], [1, [hop]]);
});
