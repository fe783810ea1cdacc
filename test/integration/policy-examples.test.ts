import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { buildFromSource } from "../../src/admin/policy-source.ts";
import { createEvaluator } from "../../src/policy/evaluator.ts";
import { parseBundle } from "../../src/policy/parse-bundle.ts";
import { opaPath, skipWithoutOpa } from "./opa-for-tests.ts";

const committed = parseBundle(readFileSync(new URL("../../policies/bundle.tar.gz", import.meta.url)));
assert.ok(committed.ok);
const bundle = committed.value;
const module = new WebAssembly.Module(bundle.wasm);
const evaluator = createEvaluator({ module, dataJson: bundle.dataJson, memoryPagesMax: 1024 });

interface Case {
  readonly title: string;
  readonly purpose: string;
  readonly scope: readonly string[];
  readonly constraints?: object;
  readonly method?: string;
  readonly arguments?: object;
  /** Members of `action` that replace those of plain HTTP. */
  readonly action?: object;
  readonly resource: {
    readonly type: string;
    readonly classification?: string;
    readonly params?: object;
    readonly host?: string;
  };
  readonly provenance?: object;
  readonly initiator?: string;
  readonly time?: string;
  /** The reasons' codes; none where it is allowed. */
  readonly denied?: readonly string[];
  readonly obligations?: object;
}

function inputOf(c: Case): string {
  const method = c.method ?? "GET";
  return JSON.stringify({
    agent: {
      id: "spiffe://acme.example/agent/o1/t1/i1",
      trust_domain: "acme.example",
      orchestration: "o1",
      task: "t1",
      instance: "i1",
    },
    principal: { type: "user", id: "alice", issuer: "https://idp.acme.example", attributes: {} },
    intent: {
      task: "t1",
      purpose: c.purpose,
      scope: c.scope,
      details: [],
      constraints: c.constraints ?? {},
      expires_at: "2026-12-01T00:00:00Z",
    },
    provenance: {
      model: "claude-sonnet-5",
      model_version: "2026-09-01",
      deployment: "eu-1",
      environment: "production",
      config_digest: "",
      verified: true,
      ...c.provenance,
    },
    session: {
      id: "s1",
      root_request: "r1",
      initiator: { type: c.initiator ?? "user", id: "alice" },
      depth: 0,
      chain: [],
    },
    token: { issuer: "https://idp.acme.example", jti: "j1", binding: "dpop", expires_at: "2026-12-01T00:00:00Z" },
    action: { kind: "http", method, tool: "t", arguments: c.arguments ?? null, http: { method }, ...c.action },
    resource: {
      route: "r",
      classification: "internal",
      owner: "",
      attributes: {},
      params: {},
      host: "tool.acme.example",
      path: [],
      query: {},
      ...c.resource,
    },
    environment: { time: c.time ?? "2026-11-23T15:00:00.000Z", source_ip: "127.0.0.1", gateway: "g" },
  });
}

const hiring = {
  purpose: "rank-candidates",
  scope: ["read:candidates:J42", "write:scores:J42"],
  constraints: { job_id: "J42" },
};
const profile = {
  type: "candidate_profiles",
  classification: "interview_safe",
  params: { job_id: "J42", candidate_id: "c1" },
};
const refund = {
  purpose: "refund",
  scope: ["read:billing:1234", "write:refunds:1234"],
  constraints: { customer_id: "1234" },
};
const sandbox = {
  purpose: "explore",
  scope: ["read:sandbox:*"],
  provenance: { environment: "sandbox", deployment: "sandbox-1" },
};
const files = { type: "sandbox_files", host: "sandbox.acme.example" };
const fulfilment = {
  purpose: "order-fulfilment",
  scope: ["read:customers:7"],
  resource: { type: "customer_records", classification: "personal", params: { customer_id: "7" } },
};
const pricing = { purpose: "pricing", scope: ["read:pricing:*"] };
const mcp = {
  purpose: "explore",
  scope: ["call:mcp:everything"],
  method: "POST",
  arguments: { method: "tools/list" },
  resource: { type: "mcp_tools" },
};
const message = (messageClass: string, method: string, more: object) => ({
  ...mcp,
  arguments: {},
  action: { kind: "mcp", class: messageClass, method, protocol_version: "2025-11-25", server: "everything", ...more },
});
const sum = (b: number) => ({ tool: "get-sum", arguments: { a: 1, b } });
const contained = { obligations: { alert: "high", containment: "quarantined" } };

const cases: readonly Case[] = [
  {
    title: "1 a hiring agent reads a candidate of its job, without the salary",
    ...hiring,
    resource: profile,
    obligations: { redact: ["/salary"] },
  },
  {
    title: "1 it scores a candidate",
    ...hiring,
    method: "POST",
    arguments: { score: 80 },
    resource: { ...profile, type: "candidate_scores" },
  },
  {
    title: "1 a score of 101 is refused",
    ...hiring,
    method: "POST",
    arguments: { score: 101 },
    resource: { ...profile, type: "candidate_scores" },
    denied: ["hiring.score_is_invalid"],
  },
  {
    title: "1 salary is refused",
    ...hiring,
    resource: { ...profile, type: "candidate_salaries", classification: "restricted" },
    denied: ["hiring.salary_is_out_of_scope", "models.model_is_not_allowed"],
  },
  {
    title: "1 another job is refused",
    ...hiring,
    resource: { ...profile, params: { job_id: "J43" } },
    denied: ["hiring.job_is_another", "hiring.job_is_closed", "hiring.scope_is_missing"],
  },
  {
    title: "1 a job past its time is refused",
    ...hiring,
    scope: ["read:candidates:J44"],
    constraints: { job_id: "J44" },
    resource: { ...profile, params: { job_id: "J44" } },
    denied: ["hiring.job_is_closed"],
  },
  {
    title: "2 a refund task reads billing",
    ...refund,
    resource: { type: "billing_records", params: { customer_id: "1234" } },
  },
  {
    title: "2 it writes a refund",
    ...refund,
    method: "POST",
    arguments: { customer_id: "1234", amount: 20 },
    resource: { type: "refunds" },
  },
  {
    title: "2 never for another customer",
    ...refund,
    method: "POST",
    arguments: { customer_id: "9", amount: 20 },
    resource: { type: "refunds" },
    denied: ["refunds.customer_is_another"],
  },
  { title: "2 and nothing else", ...refund, resource: { type: "mailbox" }, denied: ["refunds.is_out_of_task"] },
  { title: "3 a sandbox agent reads inside", ...sandbox, resource: files },
  { title: "3 it never writes there", ...sandbox, method: "PUT", resource: files, denied: ["sandbox.is_read_only"] },
  {
    title: "3 a production agent does not read there",
    ...sandbox,
    provenance: {},
    resource: files,
    denied: ["sandbox.deployment_is_not_sandboxed"],
  },
  { title: "4 customer data in business hours", ...fulfilment },
  {
    title: "4 not in the evening",
    ...fulfilment,
    time: "2026-11-23T22:00:00.000Z",
    denied: ["fulfilment.outside_business_hours"],
  },
  { title: "4 not for marketing", ...fulfilment, purpose: "marketing", denied: ["fulfilment.purpose_does_not_fit"] },
  {
    title: "5 an autonomous chain reads",
    ...hiring,
    initiator: "schedule",
    resource: profile,
    obligations: { redact: ["/salary"] },
  },
  {
    title: "5 it does not write",
    ...hiring,
    initiator: "schedule",
    method: "POST",
    arguments: { score: 80 },
    resource: { ...profile, type: "candidate_scores" },
    denied: ["autonomy.write_needs_a_human"],
  },
  {
    title: "6 a version that is not listed is refused",
    ...fulfilment,
    provenance: { model_version: "2026-08-01" },
    denied: ["models.model_is_not_allowed"],
  },
  {
    title: "6 a star lists every version",
    ...fulfilment,
    provenance: { model: "claude-opus-5", model_version: "any" },
  },
  { title: "7 a pricing agent reads prices", ...pricing, resource: { type: "pricing_data" } },
  {
    title: "7 reaching for personal data it is contained",
    ...pricing,
    resource: { type: "personal_data" },
    denied: ["pricing.reached_for_personal_data"],
    ...contained,
  },
  { title: "an MCP server by scope", ...mcp },
  { title: "an MCP tool of any purpose", ...message("use", "tools/call", { tool: "echo" }) },
  {
    title: "an MCP tool of another purpose",
    ...message("use", "tools/call", { tool: "get-tiny-image" }),
    denied: ["mcp.item_is_not_for_this_purpose"],
  },
  { title: "an MCP tool with an argument that fits", ...message("use", "tools/call", sum(1000)) },
  {
    title: "an MCP tool with one argument that does not",
    ...message("use", "tools/call", sum(1001)),
    denied: ["mcp.arguments_do_not_fit"],
  },
  {
    title: "an MCP session on another server",
    ...message("lifecycle", "initialize", { server: "payroll" }),
    denied: ["mcp.scope_is_missing"],
  },
  { title: "an MCP server without the scope", ...mcp, scope: [], denied: ["mcp.scope_is_missing"] },
  { title: "what no rule names", ...hiring, resource: { type: "mailbox" }, denied: ["policy.no_rule_allows"] },
];

for (const c of cases) {
  test(`worked example: ${c.title}`, () => {
    const decision = evaluator.decide(inputOf(c), Date.parse(c.time ?? "2026-11-23T15:00:00.000Z"));
    assert.ok(decision.ok);
    assert.equal(decision.value.allow, c.denied === undefined);
    assert.deepEqual(
      decision.value.reasons.map(({ code }) => code),
      c.denied ?? [],
    );
    assert.deepEqual(decision.value.obligations, c.obligations ?? {});
  });
}

test("a job that closes by data update takes its permissions with it at once", () => {
  const input = inputOf({ title: "", ...hiring, resource: profile });
  const before = evaluator.decide(input, 0);
  assert.ok(before.ok && before.value.allow);
  const data = JSON.parse(bundle.dataJson) as { jobs: { J42: { open: boolean } } };
  data.jobs.J42.open = false;
  const after = createEvaluator({ module, dataJson: JSON.stringify(data), memoryPagesMax: 1024 }).decide(input, 0);
  assert.ok(after.ok && !after.value.allow);
  assert.equal(after.value.reasons[0]?.code, "hiring.job_is_closed");
});

test("the committed bundle is what the Rego beside it compiles to", { skip: skipWithoutOpa }, async () => {
  const built = await buildFromSource(fileURLToPath(new URL("../../policies", import.meta.url)));
  assert.ok(built.ok, built.ok ? "" : built.error);
  const fresh = parseBundle(built.value);
  assert.ok(fresh.ok);
  assert.equal(fresh.value.revision, bundle.revision);
  assert.equal(fresh.value.dataJson, bundle.dataJson);
  assert.deepEqual(fresh.value.manifest, bundle.manifest);
  assert.ok(Buffer.from(fresh.value.wasm).equals(Buffer.from(bundle.wasm)));
});

test("the evaluator and OPA itself give the same decisions", { skip: skipWithoutOpa }, () => {
  const inputs = cases.map((c) => JSON.parse(inputOf(c)) as unknown);
  const query = "[d | some i in input.cases; d := data.cordon.decision with input as i]";
  const policies = fileURLToPath(new URL("../../policies", import.meta.url));
  const sources = ["cordon", "examples", "data.json"].flatMap((part) => ["-d", `${policies}/${part}`]);
  const native = execFileSync(opaPath, ["eval", "-f", "raw", ...sources, "--stdin-input", query], {
    input: JSON.stringify({ cases: inputs }),
    encoding: "utf8",
  });
  const own = inputs.map((input) => {
    const decision = evaluator.decide(JSON.stringify(input), 0);
    return decision.ok ? decision.value : decision.error;
  });
  assert.deepEqual(own, JSON.parse(native));
});

test("the shown names of a list are the same by the evaluator and by OPA itself", { skip: skipWithoutOpa }, () => {
  const list = { kind: "tools", items: ["echo", "get-env", "get-sum", "get-tiny-image"].map((name) => ({ name })) };
  const asked = message("list", "tools/list", {});
  const inputs = ["explore", "assist"].map((purpose) => ({
    ...(JSON.parse(inputOf({ title: "", ...asked, purpose })) as object),
    list,
  }));
  const query = "[v | some i in input.cases; v := data.cordon.visible with input as i]";
  const policies = fileURLToPath(new URL("../../policies", import.meta.url));
  const sources = ["cordon", "examples", "data.json"].flatMap((part) => ["-d", `${policies}/${part}`]);
  const native = execFileSync(opaPath, ["eval", "-f", "raw", ...sources, "--stdin-input", query], {
    input: JSON.stringify({ cases: inputs }),
    encoding: "utf8",
  });
  const own = inputs.map((input) => {
    const names = evaluator.evaluateEntry("cordon/visible", JSON.stringify(input), 0);
    return names.ok ? names.value : names.error;
  });
  assert.deepEqual(own, [
    ["echo", "get-sum"],
    ["echo", "get-sum", "get-tiny-image"],
  ]);
  assert.deepEqual(own, JSON.parse(native));
});
