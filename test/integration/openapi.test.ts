// Plain HTTP tools that an OpenAPI document describes, over the whole gateway: what policy sees, and what never gets so far.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { startAts } from "../../examples/tools/ats/start-ats.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { actionOf, bodyOf, startThings, thingsDocument } from "../fixtures/openapi-gateway.ts";
import { startTestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 50 } };
const EXACT = { name: "exact", in: "query", schema: { type: "boolean" } };
const TAG = { name: "tag", in: "query", schema: { type: "array", items: { type: "string", enum: ["a", "b"] } } };
const TENANT = { name: "X-Tenant", in: "header", required: true, schema: { type: "string", maxLength: 8 } };
const PAYMENT = {
  type: "object",
  required: ["amount"],
  properties: {
    amount: { type: "integer", minimum: 0 },
    note: { type: "string" },
    next: { $ref: "#/components/schemas/Payment" },
  },
};
const COMPONENTS = { components: { schemas: { Payment: PAYMENT } } };
const REFERENCE = { $ref: "#/components/schemas/Payment" };

test("the example tool is called by its document: policy reads the operation and its arguments, and the rest is refused", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-openapi-"));
  const ats = await startAts({ port: 0, file: path.join(folder, "ats.sqlite") });
  t.after(async () => {
    await ats.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = path.join(folder, "openapi.yaml");
  cpSync(path.join(packageRoot(), "examples/tools/ats/openapi.yaml"), file);
  const route = {
    openapi: { file },
    upstream: { url: ats.url, strip_prefix: "/ats", allow_private_addresses: true },
  };
  const resource = { type: "candidate_profiles", classification: "interview_safe", owner: "people" };
  const gateway = await startTestGateway({
    routes: [
      { ...route, name: "profiles", path: "/ats/jobs/{job_id}/candidates/**", methods: ["GET"], resource },
      {
        ...route,
        name: "scores",
        path: "/ats/jobs/{job_id}/candidates/{candidate_id}/score",
        methods: ["POST"],
        resource: { ...resource, type: "candidate_scores" },
      },
    ],
    budgets: [
      { name: "scores", match: { tools: ["addScore"] }, per: ["agent", "tool"], sum: { argument: "/score", max: 100 } },
    ],
    logs: { level: "info", safe_fields: ["arguments./score", "arguments./candidateId"] },
  });
  t.after(() => gateway.close());
  const agent = await gateway.agent();
  const record = `${gateway.url}/ats/jobs/J42/candidates/C1`;

  const read = await agent.call(record);
  assert.equal(read.status, 200);
  assert.equal(read.json()["name"], "Ada Byron");
  const score = (body: string) =>
    agent.call(`${record}/score`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-length": String(body.length) },
      body,
    });
  assert.equal((await score('{"score":80}')).status, 201);
  assert.equal((await score('{"score":30}')).json()["code"], "budget_exhausted", "the budget knows the operation");
  assert.equal((await score('{"score":101}')).json()["code"], "invalid_arguments");
  assert.equal((await score('{"score":1,"by":"me"}')).json()["code"], "invalid_arguments");
  assert.equal((await agent.call(`${record}?expand=salary`)).json()["code"], "invalid_arguments");
  assert.equal((await agent.call(`${record}/scores`)).status, 404, "the tool has it, the document does not");
  assert.equal(ats.requests(), 2);

  const lines = await gateway.lines("decision", (line) => JSON.stringify(line).includes("addScore"));
  const actions = lines.map((line) => (line["input"] as { action: Record<string, unknown> }).action);
  assert.deepEqual(
    actions.map(({ tool }) => tool),
    ["readCandidate", "addScore", "addScore"],
  );
  assert.deepEqual(actions[1]?.["arguments"], { "/score": 80, "/candidateId": "C1" });
  const audited = (line: Record<string, unknown>) =>
    [line["type"], (line["action"] as { tool?: string } | undefined)?.tool].join(" ");
  const audit = (await gateway.lines("audit", (line) => audited(line) === "denied readCandidate")).map(audited);
  assert.ok(audit.includes("intent addScore"));
  assert.ok(audit.includes("denied addScore"));
});

test("parameters become values of their type beside the members of the body, and the tool gets the bytes that were sent", async (t) => {
  const operation = { operationId: "pay", parameters: [LIMIT, EXACT, TAG, TENANT], requestBody: bodyOf(REFERENCE) };
  const { gateway, call } = await startThings(t, thingsDocument(operation, COMPONENTS));
  const body = '{ "amount": 5, "note": "caf\\u00e9", "next": {"amount": 1} }';
  const target = "/api/things/a%20b?limit=7&exact=true&tag=a";
  assert.deepEqual(await call(target, { headers: { "X-Tenant": "acme" }, body }), {
    status: 200,
    code: "",
    allow: undefined,
  });
  const action = await actionOf(gateway, "a b");
  assert.deepEqual(action["arguments"], {
    "/id": "a b",
    "/limit": 7,
    "/tag": ["a"],
    "/exact": true,
    "/x-tenant": "acme",
    "/amount": 5,
    "/note": "café",
  });
  assert.deepEqual([action["tool"], action["method"]], ["pay", "POST"]);
  const [seen] = gateway.tool.seen;
  assert.deepEqual([seen?.url, seen?.body, seen?.headers["x-tenant"]], [target.slice(4), body, "acme"]);
});

test("an operation without an id is called by method and path, and a body that is no object or has a parameter's name stands under `body`", async (t) => {
  const put = { requestBody: bodyOf({ type: "object", properties: { id: { type: "string" } } }) };
  const document = thingsDocument({ requestBody: bodyOf({ type: "array", items: { type: "integer" } }) });
  const paths = document["paths"] as Record<string, Record<string, unknown>>;
  const item = paths["/things/{id}"];
  assert.ok(item);
  item["put"] = put;
  const { gateway, call } = await startThings(t, document);
  assert.equal((await call("/api/things/list", { body: [1, 2] })).status, 200);
  const action = await actionOf(gateway, "list");
  assert.equal(action["tool"], "POST /things/{id}");
  assert.deepEqual(action["arguments"], { "/id": "list", "/body": [1, 2] });
  assert.equal((await call("/api/things/own", { method: "PUT", body: { id: "other" } })).status, 200);
  assert.deepEqual((await actionOf(gateway, "own"))["arguments"], { "/id": "own", "/body": { id: "other" } });
});

test("what the document does not describe is refused before policy, and never reaches the tool", async (t) => {
  const operation = {
    operationId: "pay",
    parameters: [LIMIT, EXACT, TAG, { ...TENANT, required: false }],
    requestBody: { ...bodyOf(REFERENCE), required: true },
  };
  const document = thingsDocument(operation, COMPONENTS);
  const { gateway, call } = await startThings(t, document);
  const body = { amount: 1 };
  const refused = async (status: number, code: string, target: string, init: Parameters<typeof call>[1] = { body }) => {
    const answer = await call(target, init);
    assert.deepEqual([answer.status, answer.code], [status, code], `${target} ${JSON.stringify(init)}`);
    return answer;
  };
  for (const target of ["/api/things", "/api/things/", "/api/things/a/", "/api/things/a/b", "/api/Things/a", "/api/"]) {
    await refused(404, "not_found", target);
  }
  const method = await refused(405, "method_not_allowed", "/api/things/a", { method: "GET" });
  assert.equal(method.allow, "POST");
  const bad = (target: string, init?: Parameters<typeof call>[1]) => refused(400, "invalid_arguments", target, init);
  for (const query of [
    "other=1",
    "Limit=1",
    "limit",
    "limit=",
    "limit=0",
    "limit=51",
    "limit=07",
    "limit=%2B7",
    "limit=7.0",
    "limit=1e1",
    "limit=0x7",
    "limit=%D9%A7",
    "limit=9007199254740993",
    "exact=1",
    "exact=True",
    "tag=c",
    "tag=a,b",
    "tag[]=a",
    "=1",
  ]) {
    await bad(`/api/things/a?${query}`);
  }
  await refused(400, "bad_request", "/api/things/a?limit=1&limit=2");
  for (const wrong of [
    {},
    [],
    null,
    1,
    { amount: -1 },
    { amount: "1" },
    { amount: 1, next: {} },
    { amount: 1, id: "b" },
    { amount: 1, tag: "c" },
  ]) {
    await bad("/api/things/a", { body: wrong });
  }
  await bad("/api/things/a", {});
  await bad("/api/things/a", { body: "" });
  await bad("/api/things/a", { body, headers: { "content-type": "application/merge-patch+json" } });
  await refused(415, "unsupported_media_type", "/api/things/a", { body, headers: { "content-type": "text/plain" } });
  await bad("/api/things/a", { body, headers: { "x-tenant": "far too long" } });
  await bad("/api/things/a", { body, headers: { "x-tenant": ["one", "two"] } });
  await bad("/api/things/a", { body, headers: { x_tenant: "acme" } });
  await bad("/api/things/a", { body, headers: { "x-tenant": "acme", connection: "close, X-Tenant" } });
  assert.equal(gateway.tool.seen.length, 0);

  assert.equal((await call("/api/things/last", { body })).status, 200);
  await actionOf(gateway, "last");
  const lines = await gateway.lines("decision", () => true);
  assert.equal(lines.length, 1, "policy was asked once, for the call that is described");
});

test("a body where none is described is refused before it is read", async (t) => {
  const { gateway, call } = await startThings(t, thingsDocument({ operationId: "touch" }));
  assert.equal((await call("/api/things/a", { body: "{broken" })).code, "invalid_arguments");
  assert.equal((await call("/api/things/a", {})).status, 200);
  assert.equal(gateway.tool.seen.length, 1);
});

test("a document of 3.0 is read by its own words: nullable, limits excluded by a boolean, read-only properties", async (t) => {
  const schema = {
    type: "object",
    required: ["amount", "made"],
    properties: {
      amount: { type: "number", minimum: 0, exclusiveMinimum: true },
      note: { type: "string", nullable: true },
      made: { type: "string", readOnly: true },
    },
  };
  const { call } = await startThings(t, thingsDocument({ requestBody: bodyOf(schema) }, {}, "3.0.3"));
  assert.equal((await call("/api/things/a", { body: { amount: 0.5, note: null } })).status, 200);
  assert.equal((await call("/api/things/a", { body: { amount: 0 } })).code, "invalid_arguments");
  assert.equal((await call("/api/things/a", { body: { amount: null } })).code, "invalid_arguments");
});

test("a schema that is nothing but itself, and one that doubles with each reference, refuse a body within bounds", async (t) => {
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, index) => [`D${index}`, { allOf: [ref(`D${index + 1}`), ref(`D${index + 1}`)] }]),
  );
  const schemas = { Loop: ref("Loop"), ...doubling, D40: true };
  for (const name of ["Loop", "D0"]) {
    const { gateway, call } = await startThings(
      t,
      thingsDocument({ requestBody: bodyOf(ref(name)) }, { components: { schemas } }),
    );
    assert.equal((await call("/api/things/a", { body: {} })).code, "invalid_arguments");
    assert.equal(gateway.tool.seen.length, 0);
  }
});
