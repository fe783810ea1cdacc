// H07: proofs that prove something else. Each is 401 with a reason of its own in the log, and nothing reaches the tool.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from "jose";
import { call, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

interface Forgery {
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  readonly key?: CryptoKey;
}

describe("H07 proofs that prove something else", () => {
  let g: TestGateway;
  let agent: TestAgent;
  let other: Awaited<ReturnType<typeof generateKeyPair>>;
  before(async () => {
    g = await startTestGateway();
    agent = await g.agent();
    other = await generateKeyPair("ES256", { extractable: true });
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  const nowS = () => Math.floor(Date.now() / 1000);

  async function prove(forgery: Forgery): Promise<string> {
    const ath = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(agent.token))).toString("base64url");
    const claims = { jti: crypto.randomUUID(), htm: "GET", htu: g.url + PATH, iat: nowS(), ath, ...forgery.claims };
    const jwk = await exportJWK(agent.keys.publicKey);
    const header = { typ: "dpop+jwt", alg: "ES256", jwk, ...forgery.header } as JWTHeaderParameters;
    return new SignJWT(claims).setProtectedHeader(header).sign(forgery.key ?? agent.keys.privateKey);
  }

  async function send(
    dpop: string,
    token = agent.token,
  ): Promise<{ status: number; reason: unknown; challenge: string }> {
    const answer = await call(g.url + PATH, { headers: { authorization: `DPoP ${token}`, dpop } });
    const id = answer.headers["x-cordon-request-id"];
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    const line = (await g.lines("access", mine)).find(mine);
    return { status: answer.status, reason: line?.["reason"], challenge: String(answer.headers["www-authenticate"]) };
  }

  test("H07 an honest proof made the same way is served, so that only the forgery is to blame", async () => {
    assert.equal((await send(await prove({}))).status, 200);
    assert.equal(g.tool.seen.length, 1);
  });

  const cases: readonly (readonly [string, string, () => Forgery | Promise<Forgery>])[] = [
    [
      "signed by another key and naming it",
      "proof.key_mismatch",
      async () => ({ key: other.privateKey, header: { jwk: await exportJWK(other.publicKey) } }),
    ],
    ["signed by another key and naming the token's", "proof.signature", () => ({ key: other.privateKey })],
    ["for another path", "proof.uri", () => ({ claims: { htu: `${g.url}${PATH}/score` } })],
    ["for another host", "proof.uri", () => ({ claims: { htu: `https://evil.example${PATH}` } })],
    ["for another scheme", "proof.uri", () => ({ claims: { htu: (g.url + PATH).replace("http:", "https:") } })],
    ["for another method", "proof.method", () => ({ claims: { htm: "POST" } })],
    ["for the method in another case", "proof.method", () => ({ claims: { htm: "get" } })],
    ["for another token", "proof.token_hash", () => ({ claims: { ath: Buffer.alloc(32).toString("base64url") } })],
    ["for no token", "proof.token_hash", () => ({ claims: { ath: undefined } })],
    ["that is too old", "proof.too_old", () => ({ claims: { iat: nowS() - 120 } })],
    ["from the future", "proof.from_the_future", () => ({ claims: { iat: nowS() + 60 } })],
    ["that expired by its own word", "proof.too_old", () => ({ claims: { exp: nowS() - 1 } })],
    ["that is not valid yet by its own word", "proof.from_the_future", () => ({ claims: { nbf: nowS() + 60 } })],
    ["without iat", "proof.claims", () => ({ claims: { iat: undefined } })],
    ["with an iat that is text", "proof.claims", () => ({ claims: { iat: String(nowS()) } })],
    ["without jti", "proof.claims", () => ({ claims: { jti: undefined } })],
    ["with a jti of 10,000 characters", "proof.too_large", () => ({ claims: { jti: "j".repeat(10_000) } })],
    [
      "with the private key in its header",
      "proof.private_key",
      async () => ({ header: { jwk: await exportJWK(agent.keys.privateKey) } }),
    ],
    ["of another type", "proof.type", () => ({ header: { typ: "JWT" } })],
    ["with a critical extension", "proof.critical_header", () => ({ header: { b64: true, crit: ["b64"] } })],
    ["without a key", "proof.key", () => ({ header: { jwk: undefined } })],
  ];
  for (const [what, reason, forge] of cases) {
    test(`H07 a proof ${what} is refused as ${reason}`, async () => {
      const answer = await send(await prove(await forge()));
      assert.equal(answer.status, 401);
      assert.equal(answer.reason, reason);
      assert.match(answer.challenge, /^DPoP error="invalid_dpop_proof", algs="/);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H07 a proof made before the gateway started is refused, so that a restart forgets nothing", async () => {
    const status = (await g.operate("GET", "/v1/status")).json<{ started_at: string }>();
    const startedS = Math.floor(Date.parse(status.started_at) / 1000);
    const answer = await send(await prove({ claims: { iat: startedS - 1 } }));
    assert.equal(answer.status, 401);
    assert.match(String(answer.reason), /^proof\.(?:before_start|too_old)$/);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H07 a proof with one bit of its signature flipped is refused", async () => {
    const proof = await prove({});
    const [head, payload, signature] = proof.split(".") as [string, string, string];
    const bytes = Buffer.from(signature, "base64url");
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    const answer = await send(`${head}.${payload}.${bytes.toString("base64url")}`);
    assert.deepEqual([answer.status, answer.reason], [401, "proof.signature"]);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H07 another agent's good proof does not carry this agent's token", async () => {
    const thief = await g.agent();
    const stolen = await thief.headers(g.url + PATH);
    const answer = await send(stolen.dpop);
    assert.equal(answer.status, 401);
    assert.equal(answer.reason, "proof.key_mismatch");
    assert.equal(g.tool.seen.length, 0);
  });

  for (const rubbish of [
    "",
    " ",
    ".",
    "..",
    "a.b.c",
    "e30.e30.",
    "e30..e30",
    "e30.e30.e30.e30",
    "%00",
    "x".repeat(9000),
    "null",
  ]) {
    test(`H07 a DPoP header that is ${JSON.stringify(rubbish.slice(0, 20))} is refused`, async () => {
      const answer = await send(rubbish);
      assert.equal(answer.status, 401);
      assert.match(String(answer.reason), /^proof\./);
      assert.equal(g.tool.seen.length, 0);
    });
  }
});
