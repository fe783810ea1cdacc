import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { send, startAdmin } from "../unit/admin/start-admin.ts";

const AGENT = "spiffe://acme.example/agent/o/t/i";

suite("the operators' API", () => {
  test("health, readiness, metrics and the OpenAPI document need no key", async (t) => {
    const admin = await startAdmin(t);
    assert.deepEqual((await send(admin.url, { path: "/healthz" })).body, { alive: true });
    assert.equal((await send(admin.url, { path: "/readyz" })).status, 200);
    admin.control.isReady = false;
    const waiting = await send(admin.url, { path: "/readyz" });
    assert.equal(waiting.status, 503);
    assert.deepEqual(waiting.body, { ready: false, reasons: ["no policy is loaded"] });
    assert.equal((await send(admin.url, { path: "/metrics" })).text, "cordon_up 1\n");
    const document = (await send(admin.url, { path: "/openapi.json" })).body as {
      openapi: string;
      paths: Record<string, Record<string, { summary?: string; responses: object }>>;
    };
    assert.equal(document.openapi, "3.1.0");
    assert.deepEqual(Object.keys(document.paths["/v1/operators/{name}"] ?? {}), ["delete"]);
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const operation of Object.values(methods)) assert.ok(operation.summary, path);
    }
  });

  test("every read answers its whole closed shape", async (t) => {
    const admin = await startAdmin(t);
    await admin.call("PUT", "/v1/containment/agent", { id: AGENT, mode: "draining", reason: "r" });
    assert.deepEqual(
      (await admin.call("GET", "/v1/status")).body,
      JSON.parse(JSON.stringify(await admin.control.status())),
    );
    assert.deepEqual((await admin.call("GET", "/v1/config")).body, admin.control.config());
    assert.deepEqual((await admin.call("GET", "/v1/agents")).body, { agents: await admin.control.agents() });
    assert.equal((await admin.call("GET", "/v1/policy")).body["bundle"], "r1");
    const entry = {
      level: "agent",
      id: AGENT,
      mode: "draining",
      drain_until: "1970-01-01T00:05:01.000Z",
      reason: "r",
      by: "admin",
      at: "1970-01-01T00:00:01.000Z",
    };
    assert.deepEqual((await admin.call("GET", "/v1/containment")).body, { epoch: 1, entries: [entry] });
    const history = await admin.call("GET", "/v1/containment/history?limit=5");
    assert.equal((history.body["changes"] as unknown[]).length, 1);
    assert.equal((await admin.call("GET", "/v1/containment/history?limit=1001")).status, 400);
    assert.equal((await admin.call("GET", "/v1/containment/history?other=1")).status, 400);
  });

  test("a wrong method is 405 with what is allowed, an unknown path 404, both problem documents", async (t) => {
    const admin = await startAdmin(t);
    const method = await admin.call("POST", "/v1/status", {});
    assert.equal(method.status, 405);
    assert.equal(method.headers["allow"], "GET, HEAD");
    assert.equal(method.body["code"], "method_not_allowed");
    const unknown = await admin.call("GET", "/v1/nothing");
    assert.deepEqual([unknown.status, unknown.headers["content-type"]], [404, "application/problem+json"]);
  });

  test("a release of what is not contained is 404, and no change is asked for", async (t) => {
    const admin = await startAdmin(t);
    const answer = await admin.call("POST", "/v1/containment/agent/release", { id: AGENT, reason: "r" });
    assert.deepEqual([answer.status, answer.body["code"]], [404, "not_contained"]);
    assert.deepEqual(admin.control.changes, []);
  });

  test("an unexpected throw is 500 with an id that the log has too, and is logged as failed", async (t) => {
    const admin = await startAdmin(t);
    admin.control.failWith = new Error("disk on fire");
    const answer = await admin.call("PUT", "/v1/containment/agent", { id: AGENT, mode: "blocked", reason: "r" });
    assert.equal(answer.status, 500);
    assert.equal(answer.body["id"], admin.failures[0]?.id);
    assert.ok(!answer.text.includes("fire"));
    assert.deepEqual([admin.logged[0]?.outcome, admin.logged[0]?.detail], ["failed", "disk on fire"]);
  });
});
