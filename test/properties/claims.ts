// In: payloads of verified tokens and claim mappings, decent and odd. Out: the property of the claim mapping.
// The model: a table of the claims with their fallbacks, read by own property descriptors alone. It ends where the claims
// do: in the policy input and in the headers that a tool reads.
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildInput, createRouteInput } from "../../src/action/build-input.ts";
import type { IssuerConfig } from "../../src/config/schema.ts";
import { identityHeaders } from "../../src/gateway/exchange/identity-headers.ts";
import type { ExchangeFacts } from "../../src/gateway/thread/services.ts";
import { createClaimReader, type TokenClaims } from "../../src/token/read-claims.ts";
import { parseStrictObject } from "../../src/lib/strict-json.ts";
import { createVerifiedToken } from "../../src/token/verified-token.ts";
import { nodesOf, readJson, valueOf } from "./json-reader.ts";
import { ACCEPTED, property } from "./property.ts";

const ISSUER = "https://issuer.test";
const TRUST_DOMAIN = "acme.example";
const TOKEN = { jti: "t1", expiresAt: "2027-01-15T08:05:00.000Z", keyThumbprint: "thumb_print-1" };

type Mapping = IssuerConfig["claims"];
type ClaimName = keyof Mapping;

interface TokenOf {
  /** The payload's JSON text, so that `__proto__` is a member like any other. */
  readonly payload: string;
  readonly mapping: Mapping;
}

/** Claims that are plain text: where they stand in the result, and what stands there when the token has none. */
const TEXTS: readonly (readonly [
  ClaimName,
  (claims: TokenClaims) => string,
  string | ((claims: TokenClaims) => string),
])[] = [
  ["principal.type", ({ principal }) => principal.type, "required"],
  ["principal.id", ({ principal }) => principal.id, "required"],
  ["principal.issuer", ({ principal }) => principal.issuer, ISSUER],
  ["intent.task", ({ intent }) => intent.task, ({ agent }) => agent.task],
  ["intent.purpose", ({ intent }) => intent.purpose, ""],
  ["provenance.model", ({ provenance }) => provenance.model, ""],
  ["provenance.model_version", ({ provenance }) => provenance.model_version, ""],
  ["provenance.deployment", ({ provenance }) => provenance.deployment, ""],
  ["provenance.environment", ({ provenance }) => provenance.environment, ""],
  ["provenance.config_digest", ({ provenance }) => provenance.config_digest, ""],
  ["provenance.image_digest", ({ provenance }) => provenance.image_digest, ""],
  ["provenance.prompt_digest", ({ provenance }) => provenance.prompt_digest, ""],
  ["provenance.publisher", ({ provenance }) => provenance.publisher, ""],
  ["session.id", ({ session }) => session.id, TOKEN.jti],
  ["session.root_request", ({ session }) => session.root_request, ""],
];
const RECORDS: readonly (readonly [ClaimName, (claims: TokenClaims) => unknown])[] = [
  ["principal.attributes", ({ principal }) => principal.attributes],
  ["intent.constraints", ({ intent }) => intent.constraints],
];
const NAMES: readonly ClaimName[] = [
  ...[...TEXTS, ...RECORDS].map(([name]) => name),
  ...(["agent.id", "agent.orchestration", "agent.task", "agent.instance", "intent.scope", "intent.details"] as const),
  ...(["provenance.verified", "session.initiator", "session.depth", "session.chain"] as const),
];

const PROTOTYPE = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "0"];
const oddText = fc.constantFrom(
  ..."alice user ä %C3%A4 a%20b a:b ../x spiffe://evil.example/agent/a/b/c __proto__ read:candidates:J42 openid"
    .split(" ")
    .concat("", " ", " a", "a b", "a\nb", "a\u0000", "\u001b[31m", "\u2028", "\u202eabc", "\ud800", "x".repeat(600)),
);
const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  oddText,
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e20, [], {}, [[]], ["read:a:b"], { type: "user", id: "alice" }),
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(...PROTOTYPE).map((name) => Object.fromEntries([[name, { polluted: "yes" }]])),
);
const member = (names: readonly string[]): fc.Arbitrary<readonly [string, unknown]> =>
  fc.tuple(fc.constantFrom(...names, ...PROTOTYPE), oddValue);
const changes = (names: readonly string[]) => fc.array(member(names), { maxLength: 2 });

const agentId = fc
  .tuple(
    fc.constantFrom(TRUST_DOMAIN, "evil.example", "ACME.example"),
    fc.constantFrom("hiring/rank/i1", "a/b/..", "a/b"),
  )
  .map(([domain, rest]) => `spiffe://${domain}/agent/${rest}`);
const decent = {
  agent: { orchestration: "hiring", task: "rank", instance: "i1" },
  principal: { type: "user", id: "alice", attributes: { team: "hiring" } },
  intent: { purpose: "rank", scope: ["read:candidates:J42"], constraints: { job_id: "J42" } },
  provenance: { model: "m", verified: false },
  session: { id: "s1", chain: [], initiator: { type: "user", id: "alice" } },
};
type Group = keyof typeof decent;

const cordonClaim = fc
  .record(
    Object.fromEntries(
      Object.keys(decent).map((group) => {
        const names = NAMES.filter((name) => name.startsWith(`${group}.`)).map((name) => name.slice(group.length + 1));
        const some = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: changes(names) });
        return [group, some.map((changed) => withMembers(decent[group as Group], changed))];
      }),
    ),
  )
  .chain((groups) => fc.oneof({ weight: 4, arbitrary: fc.constant<unknown>(groups) }, oddValue));

const path = fc.oneof(
  fc.constantFrom("sub", "azp", "act.sub", "cordon.principal.id", "/realm~1roles/0", "/a.b/c", "a..b", "", "/", "~1"),
  fc
    .array(fc.constantFrom("sub", "cordon", "agent", ...PROTOTYPE), { minLength: 1, maxLength: 3 })
    .map((names) => names.join(".")),
);
const source = fc.oneof(
  { weight: 3, arbitrary: fc.record({ claim: path }) },
  { weight: 1, arbitrary: fc.record({ value: oddValue }) },
);

/** A record, of which an absent member must not come from a prototype. */
const fromPrototype = fc.tuple(
  fc.constantFrom<ClaimName>("principal.attributes", "intent.constraints", "session.initiator"),
  fc.record({ claim: fc.constantFrom("__proto__", "cordon.__proto__", "cordon.agent.__proto__") }),
);

const tokens: fc.Arbitrary<TokenOf> = fc
  .record({
    sub: fc.oneof(
      fc.constantFrom<unknown>("alice", `spiffe://${TRUST_DOMAIN}/agent/hiring/rank/i1`),
      agentId,
      oddValue,
    ),
    namesAgent: fc.boolean(),
    cordon: cordonClaim,
    more: changes(["scope", "authorization_details", "azp", "act", "realm/roles", "a.b", "cordon"]),
    mapping: fc.oneof(
      { weight: 2, arbitrary: fc.constant({}) },
      {
        weight: 1,
        arbitrary: fc
          .array(fc.oneof({ weight: 3, arbitrary: fc.tuple(fc.constantFrom(...NAMES), source) }, fromPrototype), {
            maxLength: 3,
          })
          .map((entries) => Object.fromEntries(entries) as Mapping),
      },
    ),
  })
  .map(({ sub, namesAgent, cordon, more, mapping }) => ({
    payload: JSON.stringify(withMembers({ ...(namesAgent ? { sub } : {}), cordon }, more)),
    mapping,
  }));

export const CLAIMS = [
  property<TokenOf>({
    name: "claims.mapping",
    says: "only what the token owns or the mapping says becomes a claim, the trust domain is the configured one, and policy and tool read exactly that",
    inputs: tokens,
    check: checkClaims,
    runs: 1000,
  }),
];

const ROUTE = createRouteInput({ name: "r", resource: { type: "t", classification: "c", owner: "", attributes: {} } });

function checkClaims({ payload: text, mapping }: TokenOf): string {
  const payload = parseStrictObject(Buffer.from(text));
  if (payload === undefined) return "not strict JSON";
  const issuer = { issuer: ISSUER, trust_domain: TRUST_DOMAIN, claims: mapping } as unknown as IssuerConfig;
  const result = createClaimReader(issuer)(payload, TOKEN);
  assert.deepEqual(Object.keys(Object.prototype), [], "a prototype was changed");
  assert.deepEqual(payload, JSON.parse(text), "the payload was changed");
  if (!result.ok) return result.error;
  const claims = result.value;

  const { agent } = claims;
  assert.equal(agent.trust_domain, TRUST_DOMAIN);
  assert.equal(agent.id, `spiffe://${TRUST_DOMAIN}/agent/${agent.orchestration}/${agent.task}/${agent.instance}`);
  for (const part of [agent.orchestration, agent.task, agent.instance]) assert.match(part, /^(?!\.\.?$)[\w.-]{1,128}$/);
  const words = new Set([...textsOf(JSON.parse(text)), ...textsOf(mapping), TOKEN.keyThumbprint]);
  const isNamed = words.has(agent.id);
  assert.ok(
    isNamed || [agent.orchestration, agent.task, agent.instance].every((part) => words.has(part)),
    "an invented agent",
  );

  for (const [name, read, fallback] of TEXTS) {
    const own = sourceOf(name, payload, mapping);
    const expected = own === undefined ? (typeof fallback === "string" ? fallback : fallback(claims)) : own;
    assert.equal(read(claims), expected, name);
    assert.doesNotMatch(read(claims), /[\p{Cc}\u2028\u2029]/u, name);
    assert.ok(read(claims).isWellFormed(), `${name} has half a character`);
  }
  for (const [name, read] of RECORDS) assert.deepEqual(read(claims), sourceOf(name, payload, mapping) ?? {}, name);
  assert.ok(claims.session.depth >= claims.session.chain.length && claims.session.chain.length <= 5);
  for (const scope of claims.intent.scope) assert.match(scope, /^[^\s:*]+:[^\s:*]+:(\*|[^\s:*]+)$/);

  checkPolicyInput(claims);
  checkIdentityHeaders(claims);
  return ACCEPTED;
}

function withMembers(base: object, members: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries([...Object.entries(base), ...members]);
}

/** What the mapping or the `cordon` claim says, by own members alone. */
function sourceOf(name: ClaimName, payload: unknown, mapping: Mapping): unknown {
  const from = Object.getOwnPropertyDescriptor(mapping, name)?.value as Mapping[ClaimName];
  if (from === undefined) return ownPath(payload, ["cordon", ...name.split(".")]);
  if (!("claim" in from)) return from.value;
  const pointer = from.claim.startsWith("/");
  const parts = pointer ? from.claim.slice(1).split("/") : from.claim.split(".");
  return ownPath(payload, pointer ? parts.map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~")) : parts);
}

function ownPath(value: unknown, names: readonly string[]): unknown {
  let at = value;
  for (const name of names) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return undefined;
    at = Object.getOwnPropertyDescriptor(at, name)?.value as unknown;
  }
  return at;
}

function* textsOf(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  if (typeof value === "object" && value !== null) for (const inner of Object.values(value)) yield* textsOf(inner);
}

function agentOf(claims: TokenClaims) {
  const confirmation = { jkt: TOKEN.keyThumbprint };
  const token = { claims, issuer: ISSUER, jti: TOKEN.jti, confirmation, expiresAtMs: 1_800_000_300_000, tokenHash: "" };
  return createVerifiedToken(token).agentFor("dpop");
}

function checkPolicyInput(claims: TokenClaims): void {
  const input = buildInput({
    claimsJson: agentOf(claims).claimsJson,
    route: ROUTE,
    method: "GET",
    bodyText: null,
    target: { path: "/", search: "", segments: [""], encodedSlash: false, query: {} },
    params: {},
    host: "h",
    timeMs: 0,
    sourceIp: "127.0.0.1",
    gateway: "g",
  });
  const tree = readJson(input);
  assert.ok(tree?.kind === "object");
  for (const { node } of nodesOf(tree)) {
    const names = node.kind === "object" ? node.members.map(([name]) => name) : [];
    assert.equal(new Set(names).size, names.length, "a member stands twice in the policy input");
  }
  assert.deepEqual(
    tree.members.map(([name]) => name),
    "agent principal intent provenance session token action resource environment".split(" "),
  );
  const {
    token: _token,
    action: _action,
    resource: _resource,
    environment: _environment,
    ...read
  } = valueOf(tree) as Record<string, unknown>;
  // Labels are the gateway's own word; this agent has none.
  const said = { ...claims, session: { ...claims.session, labels: [] } };
  assert.deepEqual(read, JSON.parse(JSON.stringify(said)), "policy reads other claims");
}

/** A tool that decodes percent-escapes reads what the token says, whatever it says. */
function checkIdentityHeaders(claims: TokenClaims): void {
  const trace = { traceId: "1".repeat(32), spanId: "2".repeat(16), parentSpanId: "", sampled: false, tracestate: "" };
  const facts = { requestId: "r", decisionId: "d", trace } as unknown as ExchangeFacts;
  const headers = identityHeaders(facts, agentOf(claims), false);
  assert.equal(new Set(headers.map(([name]) => name)).size, headers.length);
  for (const [name, value] of headers) assert.match(value, /^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/, name);
  const said = Object.fromEntries(headers.map(([name, value]) => [name, decodeURIComponent(value)]));
  assert.equal(said["x-cordon-agent"], claims.agent.id);
  assert.equal(said["x-cordon-task"], claims.intent.task);
  assert.equal(said["x-cordon-principal"], `${claims.principal.type}:${claims.principal.id}`);
  assert.equal(said["x-cordon-session"], claims.session.id);
}
