import assert from "node:assert/strict";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { send, startAdmin } from "../unit/admin/start-admin.ts";

const AGENT = "spiffe://acme.example/agent/o/t/i";
const BLOCK = JSON.stringify({ id: AGENT, mode: "blocked", reason: "test" });
const JSON_TYPE = { "content-type": "application/json" };
const WRITES = [
  { method: "PUT", path: "/v1/containment/agent", body: BLOCK },
  { method: "POST", path: "/v1/containment/agent/release", body: JSON.stringify({ id: AGENT, reason: "test" }) },
  { method: "POST", path: "/v1/policy/reload", body: "{}" },
  { method: "PUT", path: "/v1/policy/data", body: "{}" },
  { method: "POST", path: "/v1/operators", body: JSON.stringify({ name: "eve", role: "admin" }) },
  { method: "DELETE", path: "/v1/operators/admin", body: "{}" },
];
const READS = [
  "/v1/status",
  "/v1/config",
  "/v1/policy",
  "/v1/agents",
  "/v1/containment",
  "/v1/containment/history",
  "/v1/operators",
];

/** Sends bytes that no client library would, and reads until the server closes. */
function sendRaw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setEncoding("utf8");
    socket.on("data", (part: string) => {
      answer += part;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

suite("H26 the operators' API", () => {
  test("H26 without a credential every read and write is 401 and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    for (const write of WRITES) {
      const answer = await send(admin.url, { ...write, headers: JSON_TYPE });
      assert.equal(answer.status, 401, `${write.method} ${write.path}`);
      assert.equal(answer.headers["content-type"], "application/problem+json");
    }
    for (const path of [...READS, "/v1/no-such-thing"]) {
      assert.equal((await send(admin.url, { path })).status, 401, path);
    }
    assert.deepEqual(admin.control.changes, []);
    assert.equal(admin.operators.list().length, 1);
  });

  test("H26 with a wrong key every write is 401 and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    const wrong = [
      `Bearer cordon_op_${"A".repeat(43)}`,
      `Basic ${admin.adminKey}`,
      "Bearer ",
      `Bearer ${admin.adminKey}x`,
    ];
    for (const authorization of wrong) {
      for (const write of WRITES) {
        const answer = await send(admin.url, { ...write, headers: { ...JSON_TYPE, authorization } });
        assert.ok(answer.status === 401 || answer.status === 429, `${authorization} ${write.path} ${answer.status}`);
      }
    }
    assert.deepEqual(admin.control.changes, []);
    assert.equal(admin.operators.list().length, 1);
  });

  test("H26 a peer that fails too often is told to wait, and the right key still blocks an agent", async (t) => {
    const admin = await startAdmin(t);
    const headers = { authorization: `Bearer cordon_op_${"A".repeat(43)}` };
    const statuses: number[] = [];
    for (let i = 0; i < 22; i++) statuses.push((await send(admin.url, { path: "/v1/status", headers })).status);
    assert.deepEqual([statuses[0], statuses[19], statuses[20], statuses[21]], [401, 401, 429, 429]);
    assert.equal((await admin.call("PUT", "/v1/containment/agent", JSON.parse(BLOCK))).status, 200);
  });

  test("H26 a viewer who tries to write is 403, it is logged, and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    const viewer = admin.keyFor("viewer");
    for (const { method, path, body } of WRITES) {
      assert.equal((await admin.call(method, path, JSON.parse(body), viewer)).status, 403, `${method} ${path}`);
    }
    assert.equal((await admin.call("GET", "/v1/status", undefined, viewer)).status, 200);
    assert.deepEqual(admin.control.changes, []);
    assert.equal(admin.operators.list().length, 2);
    assert.equal(admin.logged.length, WRITES.length);
    assert.ok(admin.logged.every((change) => change.outcome === "denied" && change.operator === "the-viewer"));
  });

  test("H26 a responder may not change policy or operators, a policy editor may not contain", async (t) => {
    const admin = await startAdmin(t);
    const responder = admin.keyFor("responder");
    const editor = admin.keyFor("policy_editor");
    const statuses = async (key: string) =>
      Promise.all(
        WRITES.map(async ({ method, path, body }) => (await admin.call(method, path, JSON.parse(body), key)).status),
      );
    assert.deepEqual((await statuses(responder)).slice(2), [403, 403, 403, 403]);
    assert.deepEqual(await statuses(editor), [403, 403, 200, 200, 403, 403]);
    assert.equal(admin.operators.list().length, 3);
  });

  test("H26 a web page (CSRF) is 403 even with the key", async (t) => {
    const admin = await startAdmin(t);
    const key = { authorization: `Bearer ${admin.adminKey}`, ...JSON_TYPE };
    const { port } = new URL(admin.url);
    const pages: Record<string, string>[] = [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: `http://127.0.0.1:${Number(port) + 1}` },
      { origin: `https://127.0.0.1:${port}` },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: admin.url, "sec-fetch-site": "cross-site" },
    ];
    for (const page of pages) {
      for (const write of WRITES) {
        const answer = await send(admin.url, { ...write, headers: { ...key, ...page } });
        assert.equal(answer.status, 403, JSON.stringify(page));
        assert.equal(answer.headers["access-control-allow-origin"], undefined);
        assert.equal(answer.headers["set-cookie"], undefined);
      }
    }
    const preflight = { origin: "https://evil.example", "access-control-request-method": "PUT" };
    assert.equal((await send(admin.url, { method: "OPTIONS", path: "/v1/status", headers: preflight })).status, 403);
    assert.deepEqual(admin.control.changes, []);
    const ownPage = { ...key, origin: admin.url, "sec-fetch-site": "same-origin" };
    assert.equal((await send(admin.url, { path: "/v1/status", headers: ownPage })).status, 200);
  });

  test("H26 a rebound DNS name in Host is 403 on every path, even with the key", async (t) => {
    const admin = await startAdmin(t, ["cordon.corp.example"]);
    const { port } = new URL(admin.url);
    const authorization = `Bearer ${admin.adminKey}`;
    for (const host of [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1",
      `localhost.evil.example:${port}`,
      "localhost:1",
    ]) {
      for (const path of ["/v1/status", "/healthz", "/metrics", "/openapi.json", "/nothing"]) {
        assert.equal(
          (await send(admin.url, { path, headers: { authorization, host } })).status,
          403,
          `${host} ${path}`,
        );
      }
      const write = { method: "PUT", path: "/v1/containment/agent", body: BLOCK };
      assert.equal((await send(admin.url, { ...write, headers: { ...JSON_TYPE, authorization, host } })).status, 403);
    }
    for (const host of [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      `LOCALHOST:${port}`,
      `[::1]:${port}`,
      "cordon.corp.example",
    ]) {
      assert.equal((await send(admin.url, { path: "/v1/status", headers: { authorization, host } })).status, 200, host);
    }
    assert.deepEqual(admin.control.changes, []);
  });

  test("H26 two Host headers and a target in absolute form are refused", async (t) => {
    const admin = await startAdmin(t);
    const { host } = new URL(admin.url);
    const close = `authorization: Bearer ${admin.adminKey}\r\nconnection: close\r\n\r\n`;
    const two = await sendRaw(admin.url, `GET /v1/status HTTP/1.1\r\nhost: ${host}\r\nhost: evil.example\r\n${close}`);
    assert.match(two, /^HTTP\/1\.1 40[03] /);
    const absolute = await sendRaw(
      admin.url,
      `GET http://evil.example/v1/status HTTP/1.1\r\nhost: ${host}\r\n${close}`,
    );
    assert.match(absolute, /^HTTP\/1\.1 40[034] /);
    const garbage = await sendRaw(admin.url, "NOT HTTP\r\n\r\n");
    assert.match(garbage, /^HTTP\/1\.1 400 /);
    assert.match(garbage, /"code":"bad_request"/);
  });

  test("H26 a path traversal reaches neither a file nor a route behind the key", async (t) => {
    const admin = await startAdmin(t);
    const paths = [
      "/healthz/../v1/status",
      "/healthz/..%2fv1%2fstatus",
      "/%2e%2e/v1/status",
      "//v1/status",
      "/v1/../healthz/../v1/config",
      "/..%2f..%2f..%2fetc%2fpasswd",
      "/openapi.json/../../operator.key",
      "/v1%2fstatus",
      "/V1/status",
      "/v1/status/",
      "/v1/stat%75s",
      "/healthz%00",
      "/%",
      "/%zz",
    ];
    for (const path of paths) {
      const answer = await send(admin.url, { path });
      assert.ok([400, 401, 404].includes(answer.status), `${path} ${answer.status}`);
      assert.ok(!answer.text.includes("root:") && !answer.text.includes("cordon_op_"), path);
    }
    for (const level of ["..%2fagent", "..", "%2e%2e%2foperators", "__proto__", "constructor"]) {
      const answer = await admin.call("PUT", `/v1/containment/${level}`, JSON.parse(BLOCK));
      assert.ok([400, 404].includes(answer.status), `${level} ${answer.status}`);
    }
    assert.equal((await admin.call("DELETE", "/v1/operators/..%2f..%2fadmin", {})).status, 400);
    assert.deepEqual(admin.control.changes, []);
  });

  test("H26 a body that is too large is 413 and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    const big = await admin.call("PUT", "/v1/containment/agent", {
      id: AGENT,
      mode: "blocked",
      reason: "x".repeat(70_000),
    });
    assert.equal(big.status, 413);
    const data = await admin.call("PUT", "/v1/policy/data", { x: "x".repeat(8 * 1024 * 1024) });
    assert.equal(data.status, 413);
    assert.deepEqual(admin.control.changes, []);
    assert.equal((await admin.call("PUT", "/v1/policy/data", { x: "x".repeat(1024 * 1024) })).status, 200);
  });

  test("H26 a write in any other content type is 415 and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    const types = [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "application/jsonp",
      "text/json",
      "",
    ];
    for (const type of types) {
      for (const write of WRITES) {
        const headers: Record<string, string> = { authorization: `Bearer ${admin.adminKey}` };
        if (type !== "") headers["content-type"] = type;
        assert.equal((await send(admin.url, { ...write, headers })).status, 415, `${type} ${write.path}`);
      }
    }
    assert.deepEqual(admin.control.changes, []);
  });

  test("H26 a body with unknown members, wrong types, __proto__ or broken JSON is 400 and nothing changes", async (t) => {
    const admin = await startAdmin(t);
    const good = JSON.parse(BLOCK);
    const bodies = [
      "{",
      "[]",
      "null",
      "",
      `{"__proto__":{"id":1},"id":"${AGENT}","mode":"blocked","reason":"r"}`,
      ...[
        { ...good, extra: 1 },
        { ...good, mode: "active" },
        { ...good, mode: ["blocked"] },
        { ...good, reason: "" },
        { ...good, reason: "two\nlines" },
        { ...good, id: `${AGENT}/more` },
        { ...good, id: 7 },
        { ...good, drain_s: 5 },
        { ...good, mode: "draining", drain_s: "5" },
        { ...good, mode: "draining", drain_s: 86_401 },
      ].map((body) => JSON.stringify(body)),
    ];
    for (const body of bodies) {
      const headers = { ...JSON_TYPE, authorization: `Bearer ${admin.adminKey}` };
      const answer = await send(admin.url, { method: "PUT", path: "/v1/containment/agent", headers, body });
      assert.equal(answer.status, 400, body);
    }
    assert.deepEqual(admin.control.changes, []);
  });
});
