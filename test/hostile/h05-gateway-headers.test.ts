// H05: headers by which a client would speak with the gateway's voice. The tool sees only the gateway's own.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const LIE = "a-lie-of-the-client";

describe("H05 headers that only the gateway may send", () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    g = await startTestGateway();
    agent = await g.agent();
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  const OWN = [
    "X-Cordon-Agent",
    "x-cordon-task",
    "X-CORDON-PRINCIPAL",
    "x-cordon-session",
    "x-cordon-request-id",
    "x-cordon-decision-id",
    "x-cordon-containment",
    "x-cordon-anything",
  ];
  const PROXY = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "Client-Cert",
    "Client-Cert-Chain",
    "True-Client-IP",
    "Cookie",
    "Proxy-Authorization",
    "Proxy",
    "X-HTTP-Host-Override",
  ];

  for (const name of [...OWN, ...PROXY]) {
    test(`H05 ${name} of a client never reaches the tool`, async () => {
      const answer = await agent.call(g.url + PATH, { headers: { [name]: LIE } });
      assert.equal(answer.status, 200);
      const [seen] = g.tool.seen;
      assert.ok(seen);
      assert.ok(!JSON.stringify(seen.rawHeaders).includes(LIE));
    });
  }

  test("H05 the tool sees each identity header once, with what the gateway proved", async () => {
    await agent.call(g.url + PATH, {
      headers: { "x-cordon-agent": ["spiffe://evil/1", "spiffe://evil/2"], "X-Cordon-Principal": "user:root" },
    });
    const raw = g.tool.seen[0]?.rawHeaders ?? [];
    const values = (name: string) =>
      raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === name);
    assert.deepEqual(values("x-cordon-agent"), [agent.id]);
    assert.deepEqual(values("x-cordon-principal"), ["user:recruiter_alice"]);
    assert.deepEqual(values("x-cordon-containment"), []);
    assert.equal(values("authorization").length, 0);
    assert.equal(values("dpop").length, 0);
  });

  for (const name of [
    "X_Cordon_Agent",
    "x-cordon_agent",
    "x_cordon-principal",
    "X_Forwarded_For",
    "x-forwarded_host",
    "Client_Cert",
    "Content_Length",
    "content_type",
    "Transfer_Encoding",
    "X.Cordon.Agent",
    "x-cordon~principal",
    "Transfer.Encoding",
    "Authoriz_ation",
  ]) {
    test(`H05 the variant ${name} is refused or stripped`, async () => {
      const answer = await agent.call(g.url + PATH, { headers: { [name]: LIE } });
      if (name === "Authoriz_ation") {
        assert.equal(answer.status, 200, "a name that folds into nothing of ours is the client's own");
        return;
      }
      assert.equal(answer.status, 400);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  for (const named of [
    "x-cordon-agent",
    "X-Cordon-Request-Id",
    "x-forwarded-for",
    "authorization",
    "traceparent",
    "content-type",
    "host",
    "keep-alive, x-cordon-principal",
    "close,content-length",
    "\tdpop",
  ]) {
    test(`H05 Connection: ${named.trim()} is refused`, async () => {
      const answer = await agent.call(g.url + PATH, { headers: { connection: named } });
      assert.equal(answer.status, 400);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H05 a header that Connection names is taken away, and no header of the gateway with it", async () => {
    const answer = await agent.call(g.url + PATH, {
      headers: { connection: "close, x-mine", "x-mine": LIE, "x-kept": "1" },
    });
    assert.equal(answer.status, 200);
    const headers = g.tool.seen[0]?.headers ?? {};
    assert.equal(headers["x-mine"], undefined);
    assert.equal(headers["x-kept"], "1");
    assert.equal(headers["x-cordon-agent"], agent.id);
    assert.equal(headers["host"], new URL(g.tool.url).host);
  });

  for (const name of [
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
  ]) {
    test(`H10 ${name} is refused: it asks for another action than the one that is judged`, async () => {
      const answer = await agent.call(g.url + PATH, { headers: { [name]: "DELETE" } });
      assert.equal(answer.status, 400);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H05 a tool cannot answer with headers of the gateway's own name, nor set a challenge for the agent", async () => {
    g.tool.answer = (_request, response) => {
      response.writeHead(200, {
        "content-type": "application/json",
        "x-cordon-request-id": LIE,
        "x-cordon-agent": LIE,
        "www-authenticate": `DPoP error="${LIE}"`,
        "dpop-nonce": LIE,
        "x-accel-redirect": `/${LIE}`,
        "x-sendfile": `/${LIE}`,
      });
      response.end("{}");
    };
    const answer = await agent.call(g.url + PATH);
    assert.equal(answer.status, 200);
    assert.ok(!JSON.stringify(answer.headers).includes(LIE));
    assert.notEqual(answer.headers["x-cordon-request-id"], undefined);
  });
});
