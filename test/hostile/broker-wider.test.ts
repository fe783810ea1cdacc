// Wider than what was granted, in every part: at the launch, the exchange, the renewal and the delegation, over a real socket.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AgentBroker,
  type Answer,
  APPLICATION,
  type Form,
  granted,
  makeRecord,
  type Spawned,
  startAgentBroker,
} from "../fixtures/agent-broker.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";

const SCOPE = ["read:candidates:J42", "write:scores:*"];
const CONSTRAINTS = {
  job_id: "J42",
  region: ["eu", "us"],
  amount: { max: 100, min: 1, currency: "EUR" },
  steps: [{ name: "rank" }],
  dry: true,
};
const DETAIL = { type: "ranking", actions: ["read", "score"], limit: { max: 10 }, locations: "eu" };

/** One part that is wider, and the part of the request that it belongs to. */
const WIDER: readonly (readonly [what: string, part: "scope" | "constraint" | "details", value: unknown])[] = [
  ["another action", "scope", ["write:candidates:J42"]],
  ["another resource", "scope", ["read:jobs:J42"]],
  ["another identifier", "scope", ["read:candidates:J43"]],
  ["any identifier", "scope", ["read:candidates:*"]],
  ["an identifier that begins the same", "scope", ["read:candidates:J421"]],
  ["one more scope", "scope", [...SCOPE, "delete:candidates:J42"]],
  ["another case", "scope", ["read:candidates:j42"]],
  ["another value", "constraint", { ...CONSTRAINTS, job_id: "J43" }],
  ["a list where there was one value", "constraint", { ...CONSTRAINTS, job_id: ["J42", "J43"] }],
  ["another type of value", "constraint", { ...CONSTRAINTS, dry: "true" }],
  ["the opposite", "constraint", { ...CONSTRAINTS, dry: false }],
  ["nothing", "constraint", { ...CONSTRAINTS, job_id: null }],
  ["one more choice", "constraint", { ...CONSTRAINTS, region: ["eu", "us", "ap"] }],
  ["another choice", "constraint", { ...CONSTRAINTS, region: "ap" }],
  ["no choice at all", "constraint", { ...CONSTRAINTS, region: [] }],
  ["a higher maximum", "constraint", { ...CONSTRAINTS, amount: { max: 101, min: 1, currency: "EUR" } }],
  ["a lower minimum", "constraint", { ...CONSTRAINTS, amount: { max: 100, min: 0, currency: "EUR" } }],
  ["a maximum as text", "constraint", { ...CONSTRAINTS, amount: { max: "100", min: 1, currency: "EUR" } }],
  ["a member left out", "constraint", { ...CONSTRAINTS, amount: { max: 100, min: 1 } }],
  ["another member", "constraint", { ...CONSTRAINTS, amount: { max: 100, min: 1, currency: "USD" } }],
  ["a list of objects that differs", "constraint", { ...CONSTRAINTS, steps: [{ name: "rank" }, { name: "hire" }] }],
  ["another type of details", "details", [{ ...DETAIL, type: "payment" }]],
  ["one more action of details", "details", [{ ...DETAIL, actions: ["read", "score", "hire"] }]],
  ["a higher limit of details", "details", [{ ...DETAIL, limit: { max: 11 } }]],
  ["a member of details left out", "details", [{ type: "ranking", actions: ["read"], limit: { max: 1 } }]],
  ["one more entry of details", "details", [DETAIL, { ...DETAIL, locations: "us" }]],
];

const NAMES = { scope: "scope", constraint: "constraints", details: "authorization_details" } as const;

function parameters(part: keyof typeof NAMES, value: unknown): Form {
  return { [NAMES[part]]: part === "scope" ? (value as readonly string[]).join(" ") : value };
}

const GRANT: Form = { scope: SCOPE.join(" "), constraints: CONSTRAINTS, authorization_details: [DETAIL] };

async function start(t: Parameters<typeof startAgentBroker>[0]): Promise<AgentBroker> {
  return startAgentBroker(t, {
    application: { scope: SCOPE, constraints: CONSTRAINTS, authorization_details: [DETAIL] },
  });
}

function assertRefused(answer: Answer, code: string, what: string): void {
  const { error } = answer.body;
  assert.deepEqual([answer.status, answer.body["code"]], [400, code], what);
  assert.equal(error, code.startsWith("details") ? "invalid_authorization_details" : "invalid_scope", what);
  assert.equal(answer.body["access_token"], undefined);
}

test("a launch beyond the ceiling is refused in every part", async (t) => {
  const issuer = await start(t);
  for (const [what, part, value] of WIDER) {
    assertRefused(await issuer.requestLaunch({ ...GRANT, ...parameters(part, value) }), `${part}_beyond_ceiling`, what);
  }
  await issuer.launch(GRANT);
});

test("a spawn beyond its launch is refused in every part, and leaves the launch token as it was", async (t) => {
  const issuer = await start(t);
  const launched = await issuer.launch(GRANT);
  const key = makeKey("ES256");
  for (const [what, part, value] of WIDER) {
    assertRefused(await issuer.requestSpawn(launched, key, parameters(part, value)), `${part}_wider`, what);
  }
  await issuer.spawn(launched, key);
});

test("a renewal beyond the agent's token is refused in every part", async (t) => {
  const issuer = await start(t);
  const agent = await issuer.spawn(await issuer.launch(GRANT));
  await issuer.restart(226_000);
  for (const [what, part, value] of WIDER) {
    assertRefused(await issuer.renew(agent, parameters(part, value)), `${part}_wider`, what);
  }
  granted(await issuer.renew(agent));
});

test("a delegation beyond the delegator's token is refused in every part, in the record and at its exchange", async (t) => {
  const issuer = await start(t);
  const root = await issuer.spawn(await issuer.launch(GRANT));
  const key = makeKey("ES256");
  const members = { scope: "scope", constraint: "constraints", details: "details" } as const;
  for (const [what, part, value] of WIDER) {
    const wide = makeRecord(root, key, { [members[part]]: value });
    assertRefused(await issuer.requestDelegate(wide, key), `${part}_wider`, what);
    const asked = await issuer.requestDelegate(makeRecord(root, key), key, parameters(part, value));
    assertRefused(asked, `${part}_wider`, `${what}, at the exchange`);
  }
  for (const name of Object.keys(CONSTRAINTS)) {
    const { [name]: _, ...rest } = CONSTRAINTS as Record<string, unknown>;
    assertRefused(
      await issuer.requestDelegate(makeRecord(root, key, { constraints: rest }), key),
      "constraint_wider",
      name,
    );
  }
  await issuer.delegate(root, {}, key);
});

test("a bound that is written so large that it would be no bound in a token is refused", async (t) => {
  const issuer = await start(t);
  const [launched, key] = [await issuer.launch(GRANT), makeKey("ES256")];
  const amounts = ['{"max":-1e400,"min":1,"currency":"EUR"}', '{"max":100,"min":1e400,"currency":"EUR"}'];
  for (const amount of amounts) {
    const constraints = `{"amount":${amount}}`;
    assertRefused(await issuer.requestLaunch({ ...GRANT, constraints }), "constraint_beyond_ceiling", amount);
    assertRefused(await issuer.requestSpawn(launched, key, { constraints }), "constraint_wider", amount);
  }
});

test("what a token exchange asks for and would not get is refused: another audience, an actor, another type of token", async (t) => {
  const issuer = await start(t);
  const [launched, key] = [await issuer.launch(GRANT), makeKey("ES256")];
  for (const [asked, code] of [
    [{ audience: "https://evil.example" }, "target_unknown"],
    [{ actor_token: launched, actor_token_type: "urn:ietf:params:oauth:token-type:jwt" }, "request_malformed"],
    [{ requested_token_type: "urn:ietf:params:oauth:token-type:refresh_token" }, "request_malformed"],
  ] as const) {
    const { status, body } = await issuer.requestSpawn(launched, key, asked);
    assert.deepEqual([status, body["code"]], [400, code], JSON.stringify(asked));
  }
  await issuer.spawn(launched, key, { requested_token_type: "urn:ietf:params:oauth:token-type:access_token" });
});

test("what is no scope is refused wherever it is asked for", async (t) => {
  const issuer = await start(t);
  const agent: Spawned = await issuer.spawn(await issuer.launch(GRANT));
  await issuer.restart(226_000);
  const launched = await issuer.launch(GRANT);
  const malformed = ["read", "read:candidates", "*:candidates:J42", "read:*:J42", "read::J42", "read:candidates:J42:x"];
  for (const scope of [...malformed, "read:candidates:J*", "read:candidates:J42  write:scores:*"]) {
    for (const answer of [
      await issuer.requestLaunch({ ...GRANT, scope }),
      await issuer.requestSpawn(launched, makeKey("ES256"), { scope }),
      await issuer.renew(agent, { scope }),
    ]) {
      assert.deepEqual([answer.status, answer.body["error"]], [400, "invalid_scope"], scope);
    }
  }
});

test("an orchestrator stays within its orchestrations, principals, times, renewals and depth", async (t) => {
  const issuer = await startAgentBroker(t);
  const beyond: readonly (readonly [Form, string])[] = [
    [{ orchestration: "payroll" }, "orchestration_not_allowed"],
    [{ orchestration: "*" }, "request_malformed"],
    [{ task: "a/b" }, "request_malformed"],
    [{ task: undefined }, "request_malformed"],
    [{ principal: { type: "service", id: "payroll" } }, "principal_not_allowed"],
    [{ principal: { type: "service", id: "*" } }, "principal_not_allowed"],
    [{ principal: { type: "service", id: "nightly2" } }, "principal_not_allowed"],
    [{ principal: { type: "users", id: "alice" } }, "principal_not_allowed"],
    [{ principal: { type: "user:x", id: "alice" } }, "request_malformed"],
    [{ principal: { type: "user", id: "alice", issuer: "https://idp.example" } }, "request_malformed"],
    [{ principal: undefined }, "principal_required"],
    [{ ttl_s: "301" }, "ttl_beyond_ceiling"],
    [{ ttl_s: "0" }, "ttl_beyond_ceiling"],
    [{ ttl_s: "1e3" }, "request_malformed"],
    [{ ttl_s: "-5" }, "request_malformed"],
    [{ lifetime_s: "3601" }, "lifetime_beyond_ceiling"],
    [{ renewals_max: "4" }, "renewals_beyond_ceiling"],
    [{ depth_max: "6" }, "depth_beyond_ceiling"],
    [{ resource: "https://evil.example" }, "target_unknown"],
    [{ authorization_details: [{ type: "unknown" }] }, "details_unknown_type"],
    [{ authorization_details: [{}] }, "details_unknown_type"],
  ];
  for (const [changes, code] of beyond) {
    const { status, body } = await issuer.requestLaunch(changes);
    assert.deepEqual([status, body["code"]], [400, code], JSON.stringify(changes));
  }
  await issuer.launch({ principal: { type: "service", id: "nightly" } });
  assert.ok(!JSON.stringify(issuer.logs).includes(`"token_issued"`), "nothing was issued");
  assert.equal(issuer.logs.filter((entry) => entry.client_id === APPLICATION && entry.event === "launched").length, 1);
});
