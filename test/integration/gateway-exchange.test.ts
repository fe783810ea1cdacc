// The main path over real sockets: who may call what, what the tool gets, what is written down.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { call, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const CREDENTIAL = "Bearer tool-secret-0123456789";

describe("an exchange through the gateway", () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    process.env["CORDON_TEST_TOOL_CREDENTIAL"] = "tool-secret-0123456789";
    g = await startTestGateway(({ toolUrl }) => {
      const upstream = {
        url: `${toolUrl}/base`,
        strip_prefix: "/ats",
        allow_private_addresses: true,
        credential: { prefix: "Bearer ", from: { env: "CORDON_TEST_TOOL_CREDENTIAL" } },
      };
      const resource = { type: "candidate_profiles", classification: "interview_safe" };
      return {
        routes: [
          {
            name: "candidate",
            path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
            methods: ["GET"],
            resource,
            upstream,
          },
          {
            name: "score",
            path: "/ats/jobs/{job_id}/candidates/{candidate_id}/score",
            methods: ["POST"],
            audit: "strict",
            limits: { body_bytes_max: 2000 },
            resource: { ...resource, type: "candidate_scores" },
            upstream,
          },
          {
            name: "salary",
            path: "/ats/jobs/{job_id}/candidates/{candidate_id}/salary",
            methods: ["GET"],
            resource: { type: "candidate_salaries", classification: "restricted" },
            upstream,
          },
          {
            name: "observed",
            path: "/ats/observed/{job_id}",
            methods: ["GET"],
            mode: "observe",
            resource: { type: "candidate_salaries", classification: "restricted" },
            upstream,
          },
        ],
      };
    });
    agent = await g.agent();
  });
  after(() => g.close());

  test("an agent with a bound token and a fresh proof reads a candidate, without the field that policy redacts", async () => {
    const answer = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json(), { ok: true });
    assert.equal(answer.headers["content-length"], String(answer.text.length));
  });

  test("the tool gets the gateway's identity headers and its own credential, and never the caller's token or proof", async () => {
    g.tool.seen.length = 0;
    await agent.call(`${g.url}/ats/jobs/J42/candidates/C1?view=full&x=%C3%A4`, {
      headers: {
        "x-cordon-agent": "spiffe://evil",
        "x-forwarded-for": "1.2.3.4",
        cookie: "a=b",
        traceparent: "broken",
      },
    });
    const [seen] = g.tool.seen;
    assert.ok(seen);
    assert.equal(seen.url, "/base/jobs/J42/candidates/C1?view=full&x=%C3%A4");
    assert.equal(seen.headers["x-cordon-agent"], agent.id);
    assert.equal(seen.headers["x-cordon-principal"], "user:recruiter_alice");
    assert.equal(seen.headers["authorization"], CREDENTIAL);
    assert.equal(seen.headers["dpop"], undefined);
    assert.equal(seen.headers["x-forwarded-for"], undefined);
    assert.match(String(seen.headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
    assert.ok(!JSON.stringify(seen).includes(agent.token));
  });

  test("a trace that the caller began is continued with a span of the gateway's own", async () => {
    g.tool.seen.length = 0;
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`, {
      headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: "vendor=1" },
    });
    const seen = g.tool.seen[0];
    assert.match(
      String(seen?.headers["traceparent"]),
      new RegExp(`^00-${traceId}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`),
    );
    assert.equal(seen?.headers["tracestate"], "vendor=1");
  });

  test("policy sees the arguments: a score within its range is written, one beyond it is refused", async () => {
    const url = `${g.url}/ats/jobs/J42/candidates/C1/score`;
    const headers = { "content-type": "application/json" };
    g.tool.seen.length = 0;
    const body = '{ "score": 70, "comment": "ok" }';
    const good = await agent.call(url, { method: "POST", headers, body });
    assert.equal(good.status, 200);
    assert.equal(g.tool.seen[0]?.body, body, "the tool gets the judged bytes, unchanged");
    const bad = await agent.call(url, { method: "POST", headers, body: '{"score":700}' });
    assert.equal(bad.status, 403);
    assert.equal(g.tool.seen.length, 1);
  });

  test("a denial is a problem document with a stable code and no policy detail; the reason is in the logs", async () => {
    const answer = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1/salary`);
    assert.equal(answer.status, 403);
    assert.equal(answer.headers["content-type"], "application/problem+json");
    const problem = answer.json<{ code: string; request_id: string }>();
    assert.equal(problem.code, "access_denied");
    assert.ok(!answer.text.includes("hiring."));
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === problem.request_id;
    const access = (await g.lines("access", mine)).find(mine);
    assert.equal(access?.["reason"], "policy.denied");
    assert.match(String(access?.["detail"]), /hiring\.salary_is_out_of_scope/);
    assert.equal(access?.["agent"], agent.id);
    const decision = (await g.lines("decision", mine)).find(mine);
    assert.match(JSON.stringify(decision?.["result"]), /"allow":false/);
    assert.equal(decision?.["decision_id"], access?.["decision_id"]);
    const audit = (await g.lines("audit", mine)).find(mine);
    assert.equal(audit?.["type"], "denied");
  });

  test("an intent stands in the audit log before its outcome, and the outcome has the hashes of both bodies", async () => {
    const answer = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1/score`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"score":1}',
    });
    const id = answer.headers["x-cordon-request-id"];
    const lines = await g.lines("audit", (line) => line["request_id"] === id && line["type"] === "outcome");
    const mine = lines.filter((line) => line["request_id"] === id);
    assert.deepEqual(
      mine.map((line) => line["type"]),
      ["intent", "outcome"],
    );
    assert.match(String(mine[1]?.["request_sha256"]), /^[0-9a-f]{64}$/);
    assert.match(String(mine[1]?.["response_sha256"]), /^[0-9a-f]{64}$/);
    assert.equal(mine[1]?.["status"], 200);
  });

  test("observe relaxes the policy's verdict and nothing else", async () => {
    const url = `${g.url}/ats/observed/J42`;
    assert.equal((await agent.call(url)).status, 200);
    assert.equal((await call(url)).status, 401);
    const lines = await g.lines("audit", (line) => line["verdict"] === "observed_deny");
    assert.ok(lines.length > 0);
  });

  test("an unproven caller gets 401 for every path, also for those that do not exist", async () => {
    for (const path of ["/ats/jobs/J42/candidates/C1", "/nowhere"]) {
      const answer = await call(`${g.url}${path}`);
      assert.equal(answer.status, 401);
      assert.match(String(answer.headers["www-authenticate"]), /^DPoP algs="/);
    }
    assert.equal((await agent.call(`${g.url}/nowhere`)).status, 404);
    const wrong = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`, { method: "DELETE" });
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers["allow"], "GET");
  });

  test("a Host that is none of the public origins is misdirected", async () => {
    const answer = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`, { headers: { host: "evil.example" } });
    assert.equal(answer.status, 421);
  });

  test("a body that policy cannot see whole and unambiguous is refused", async () => {
    const url = `${g.url}/ats/jobs/J42/candidates/C1/score`;
    const post = (headers: Record<string, string>, body: string | Buffer) =>
      agent.call(url, { method: "POST", headers, body });
    g.tool.seen.length = 0;
    const json = { "content-type": "application/json" };
    assert.equal((await post(json, '{"score":1,"score":2}')).status, 400);
    assert.equal((await post(json, '{"score":1,"Score":2}')).status, 400);
    assert.equal((await post(json, '{"score":9007199254740993}')).status, 400);
    assert.equal((await post(json, "{")).status, 400);
    assert.equal((await post(json, Buffer.from([0x7b, 0xff, 0x7d]))).status, 400);
    assert.equal((await post({ "content-type": "text/plain" }, '{"score":1}')).status, 415);
    assert.equal((await post({ ...json, "content-encoding": "gzip" }, '{"score":1}')).status, 415);
    assert.equal((await post(json, JSON.stringify({ score: 1, comment: "x".repeat(3000) }))).status, 413);
    assert.equal(g.tool.seen.length, 0);
  });

  test("a body that breaks off in its middle is one exchange with one line in the access log", async () => {
    const { authorization, dpop } = await agent.headers(`${g.url}/ats/jobs/J42/candidates/C1/score`, "POST");
    const { host, port } = new URL(g.url);
    const socket = connect(Number(port), "127.0.0.1");
    const head = [
      "POST /ats/jobs/J42/candidates/C1/score HTTP/1.1",
      `host: ${host}`,
      `authorization: ${authorization}`,
      `dpop: ${dpop}`,
      "content-type: application/json",
      "transfer-encoding: chunked",
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n5\r\n{"sco\r\nnot a chunk\r\n`);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    assert.match(answer, /^HTTP\/1\.1 400 /);
    const id = /"request_id":"([^"]+)"/.exec(answer)?.[1];
    // The line of a later exchange stands behind all that this one wrote.
    const later = (await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`)).headers["x-cordon-request-id"];
    const lines = await g.lines("access", (line) => line["request_id"] === later);
    const broken = lines.filter((line) => line["reason"] === "exchange.malformed");
    assert.deepEqual(
      broken.map((line) => [line["request_id"], line["status"], line["agent"]]),
      [[id, 400, agent.id]],
    );
    assert.equal(lines.filter((line) => line["reason"] === "exchange.client_closed").length, 0);
  });

  test("health, readiness and metrics are served to operators", async () => {
    assert.equal((await call(`${g.control}/healthz`)).status, 200);
    assert.equal((await call(`${g.control}/readyz`)).status, 200);
    const metrics = await call(`${g.control}/metrics`);
    assert.match(metrics.text, /cordon_exchanges_total\{[^}]*route="candidate"[^}]*\} \d+/);
    const status = await g.operate("GET", "/v1/status");
    assert.equal(status.json<{ ready: boolean }>().ready, true);
    const agents = await g.operate("GET", "/v1/agents");
    assert.ok(agents.text.includes(agent.id));
  });
});
