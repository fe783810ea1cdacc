// Malformed everything, at random: each answer is a problem with a code and no secret, and the issuer serves on.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  ACCESS_TOKEN,
  type AgentBroker,
  type Answer,
  APPLICATION,
  EXCHANGE_GRANT,
  type Form,
  LAUNCH,
  LAUNCH_GRANT,
  LAUNCH_TOKEN,
  makeRecord,
  RECORD,
  startAgentBroker,
} from "../fixtures/agent-broker.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";

const SEED = 1;
const NAMES = [
  "subject_token",
  "subject_token_type",
  "scope",
  "authorization_details",
  "constraints",
  "principal",
  "session",
  "manifest",
  "ttl_s",
  "lifetime_s",
  "renewals_max",
  "depth_max",
  "orchestration",
  "task",
  "purpose",
  "resource",
];

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ maxLength: 60 }),
  fc.json({ maxDepth: 4 }),
  fc.constantFrom(
    "",
    "null",
    "[]",
    "{}",
    '{"a":1,"a":2}',
    "[".repeat(50) + "]".repeat(50),
    '{"__proto__":{"type":"user"}}',
    '{"type":"user","id":"\\u0000"}',
    "1},{",
    "x".repeat(5000),
    "-1",
    "1e9",
    "999999999999999999999",
    "read:candidates:J42\n",
    "a.b.c",
    "..",
    `${APPLICATION}.${"A".repeat(43)}`,
  ),
);
/** Several parameters that are replaced, left out or added. */
const changes = fc.dictionary(fc.constantFrom(...NAMES), fc.oneof(text, fc.constant(undefined)), {
  minKeys: 1,
  maxKeys: 4,
  noNullPrototype: true,
});

/** No 5xx, a stable code, nothing of the inside. `secrets` are what was sent in this request and must not come back. */
function assertProblem({ status, body }: Answer, issuer: AgentBroker, secrets: readonly string[]): void {
  assert.ok(status === 400 || status === 401 || status === 413, `${status} ${JSON.stringify(body)}`);
  assert.match(String(body["error"]), /^[a-z_]+$/);
  assert.match(String(body["code"]), /^[a-z_]+$/);
  assert.equal(body["access_token"], undefined);
  const said = JSON.stringify(body);
  for (const secret of secrets) assert.ok(!said.includes(secret), said);
  assert.ok(!/node_modules|sqlite|\.ts:|\.js:|SELECT|INSERT/i.test(said), said);
  assert.ok(!said.includes(issuer.dataFolder), said);
}

test("launches with parameters at random are granted or refused with a code, and never fail", async (t) => {
  const issuer = await startAgentBroker(t);
  const check = async (replaced: Form) => {
    const client_assertion = await issuer.assertion();
    const answer = await issuer.requestLaunch({ client_assertion, ...replaced });
    if (answer.status !== 200) assertProblem(answer, issuer, [client_assertion.split(".")[2] as string]);
  };
  await fc.assert(fc.asyncProperty(changes, check), { seed: SEED, numRuns: 250 });
  await issuer.spawn();
});

test("exchanges with parameters at random are granted or refused with a code, and never fail", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  const launched = await issuer.launch();
  const key = makeKey("ES256");
  const valid: readonly Form[] = [
    { subject_token: launched, subject_token_type: LAUNCH_TOKEN },
    { subject_token: agent.token, subject_token_type: ACCESS_TOKEN },
    { subject_token: makeRecord(agent, key), subject_token_type: RECORD },
  ];
  const check = async (form: Form, replaced: Form) => {
    const answer = await issuer.exchange({ ...form, ...replaced }, makeKey("ES256"));
    if (answer.status !== 200) assertProblem(answer, issuer, [String(form["subject_token"]).slice(-40)]);
  };
  await fc.assert(fc.asyncProperty(fc.constantFrom(...valid), changes, check), { seed: SEED, numRuns: 250 });
  await issuer.spawn();
});

test("tokens, records and proofs with one piece changed are refused with a code", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  const key = makeKey("ES256");
  const record = makeRecord(agent, key);
  const mutated = (from: string) =>
    fc.tuple(fc.nat(from.length - 1), fc.constantFrom("A", "_", ".", "=", " ", "é", "")).map(([at, piece]) => {
      const changed = from.slice(0, at) + piece + from.slice(at + 1);
      return changed === from ? `${from}A` : changed;
    });
  const checkRecord = async (subject_token: string) =>
    assertProblem(await issuer.requestDelegate(subject_token, key), issuer, [record.slice(-40)]);
  await fc.assert(fc.asyncProperty(mutated(record), checkRecord), { seed: SEED, numRuns: 100 });
  const checkToken = async (token: string) => assertProblem(await issuer.renew({ key: agent.key, token }), issuer, []);
  await fc.assert(fc.asyncProperty(mutated(agent.token), checkToken), { seed: SEED, numRuns: 100 });
  const proof = await issuer.proof(key);
  const form = { grant_type: EXCHANGE_GRANT, client_id: `${APPLICATION}.agents`, subject_token: record };
  const checkProof = async (dpop: string) =>
    assertProblem(await issuer.post({ ...form, subject_token_type: RECORD }, { dpop }), issuer, [proof.slice(-40)]);
  // Not the last character: jose takes bits after the last byte of a signature, and a replay is told by the `jti` anyway.
  const proofs = mutated(proof.slice(0, -1)).map((start) => start + proof.slice(-1));
  await fc.assert(fc.asyncProperty(proofs.filter(isHeaderText), checkProof), { seed: SEED, numRuns: 100 });
  await issuer.delegate(agent, {}, key);
});

/** What a client can send at all in a header. */
function isHeaderText(value: string): boolean {
  return /^[\x21-\x7e]*$/.test(value);
}

test("bodies, content types, clients and authorizations at random are refused with a code", async (t) => {
  const issuer = await startAgentBroker(t);
  const header = fc
    .string({ maxLength: 40 })
    .map((value) => value.trim())
    .filter(isHeaderText);
  const requests = fc.record({
    type: fc.constantFrom("application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data"),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(
        `grant_type=${LAUNCH_GRANT}&grant_type=${LAUNCH_GRANT}`,
        `grant_type=${EXCHANGE_GRANT}&client_id=hiring.agents&client_id=hiring`,
        "grant_type[]=x&client_id[a]=b",
        "%",
        "client_id=%00&grant_type=%ff",
        "client_id=.agents&grant_type=x",
        "client_id=__proto__&grant_type=x",
        `client_id=${"a".repeat(10_000)}.agents&grant_type=x`,
        new URLSearchParams({ ...(LAUNCH as Record<string, string>), grant_type: "x" }).toString(),
      ),
    ),
    authorization: fc.option(header.map((value) => `Basic ${value}`)),
    dpop: fc.option(header),
  });
  const check = async ({
    type,
    body,
    authorization,
    dpop,
  }: typeof requests extends fc.Arbitrary<infer T> ? T : never) => {
    const headers = {
      "content-type": type,
      ...(authorization === null ? {} : { authorization }),
      ...(dpop === null || dpop === "" ? {} : { dpop }),
    };
    for (const path of ["/token", "/release"]) {
      const response = await fetch(issuer.issuer + path, { method: "POST", headers, body });
      const said = (await response.json()) as Record<string, unknown>;
      assertProblem({ status: response.status, body: said, headers: response.headers }, issuer, []);
    }
  };
  await fc.assert(fc.asyncProperty(requests, check), { seed: SEED, numRuns: 200 });
  await issuer.spawn();
});
