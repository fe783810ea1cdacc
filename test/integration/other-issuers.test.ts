// Tokens of OAuth servers that know nothing of Cordon pass by claim mapping, and none of them speaks for another.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { generateKeyPair, generateProof, type KeyPair } from "dpop";
import { decodeJwt, type JWTPayload, SignJWT } from "jose";
import * as oauth from "oauth4webapi";
import { freePort } from "../../examples/demo/free-ports.ts";
import { insecure, type OtherIssuer, startOtherIssuer } from "../fixtures/other-issuer.ts";
import { call, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

/** As in docs/issuers.md. */
const CLAIMS = {
  "agent.orchestration": { claim: "work.app" },
  "agent.task": { claim: "work.ticket" },
  "principal.type": { value: "user" },
  "principal.id": { claim: "on_behalf_of" },
  "intent.purpose": { claim: "work.why" },
  "intent.scope": { claim: "scope" },
  "intent.constraints": { claim: "work.limits" },
  "provenance.model": { claim: "runtime.model" },
  "provenance.environment": { claim: "runtime.environment" },
  "session.root_request": { claim: "work.request" },
  "session.initiator": { claim: "work.started_by" },
};

describe("access tokens of an independent OAuth server with DPoP", () => {
  let partner: OtherIssuer;
  let stranger: OtherIssuer;
  let g: TestGateway;
  before(async () => {
    const port = await freePort();
    const gateway = `http://127.0.0.1:${port}`;
    [partner, stranger] = await Promise.all([startOtherIssuer(gateway), startOtherIssuer(gateway)]);
    const entry = (of: OtherIssuer, trustDomain: string) => ({
      issuer: of.issuer,
      audience: [gateway],
      trust_domain: trustDomain,
      jwks: { url: `${of.issuer}/jwks`, allow_private_addresses: true },
      claims: CLAIMS,
    });
    g = await startTestGateway({
      listeners: [{ name: "traffic", port }],
      public_origins: [gateway],
      proof: { nonce: "required" },
      issuers: [entry(partner, "partner.example"), entry(stranger, "stranger.example")],
    });
  });
  after(async () => {
    await g.close();
    await Promise.all([partner.close(), stranger.close()]);
  });

  /** One call with the `dpop` client, with the nonce that the gateway asks for. */
  async function ask(token: string, keys: KeyPair, path = PATH): Promise<{ status: number; reason: unknown }> {
    const send = async (nonce?: string) => {
      const dpop = await generateProof(keys, g.url + path, "GET", nonce, token);
      return call(g.url + path, { headers: { authorization: `DPoP ${token}`, dpop } });
    };
    const first = await send();
    const nonce = first.headers["dpop-nonce"];
    return outcome(typeof nonce === "string" ? await send(nonce) : first);
  }

  async function outcome(answer: Awaited<ReturnType<typeof call>>): Promise<{ status: number; reason: unknown }> {
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === answer.headers["x-cordon-request-id"];
    return { status: answer.status, reason: (await g.lines("access", mine)).find(mine)?.["reason"] };
  }

  const bearer = async (token: string) =>
    outcome(await call(g.url + PATH, { headers: { authorization: `Bearer ${token}` } }));

  /** Signed by the key of one issuer, with the words of a real token of the other. */
  async function forge(signer: OtherIssuer, token: string, changes: JWTPayload = {}): Promise<string> {
    return new SignJWT({ ...decodeJwt(token), ...changes })
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: signer.kid })
      .sign(signer.privateKey);
  }

  test("a token is mapped to the four claims, proven by a stock client, and judged by policy", async () => {
    const { token, dpop, keys } = await partner.agentToken();
    const read = (path: string) =>
      oauth.protectedResourceRequest(token, "GET", new URL(g.url + path), undefined, undefined, {
        ...insecure,
        DPoP: dpop,
      });
    // A stock client meets the nonce challenge, and goes on.
    await assert.rejects(read(PATH), (error) => oauth.isDPoPNonceError(error));
    assert.equal((await read(PATH)).status, 200);
    const caller = String(g.tool.seen.at(-1)?.headers["x-cordon-agent"]);
    assert.match(caller, /^spiffe:\/\/partner\.example\/agent\/hiring\/rank-j42\/[\w-]{43}$/);
    const own = (line: Record<string, unknown>): boolean => line["agent_id"] === caller || line["agent"] === caller;
    const [line] = (await g.lines("access", own)).filter(own);
    assert.equal(line?.["status"], 200);
    // The same caller, for whom policy has no salary.
    const salary = await ask(token, keys, `${PATH}/salary`);
    assert.deepEqual([salary.status, String(salary.reason).split(".")[0]], [403, "policy"]);
    // Another job is not what its constraints name.
    assert.equal((await ask(token, keys, "/ats/jobs/J43/candidates/C1")).status, 403);
  });

  test("a token of one is no other's: neither its key, its kid nor its iss, and its audience is pinned", async () => {
    const { token, keys } = await partner.agentToken();
    const theirs = await stranger.agentToken();
    assert.equal((await ask(token, keys)).status, 200);
    assert.equal((await ask(theirs.token, theirs.keys)).status, 200);
    assert.match(String(g.tool.seen.at(-1)?.headers["x-cordon-agent"]), /^spiffe:\/\/stranger\.example\//);
    const refused = (reason: string) => ({ status: 401, reason });
    // Both keys are called the same.
    assert.deepEqual(await ask(await forge(stranger, token), keys), refused("token.signature"));
    // One that would name agents of the other's trust domain, in each way that a claim can.
    const id = "spiffe://partner.example/agent/hiring/rank-j42/x";
    for (const changes of [
      { cordon: { agent: { id } }, work: undefined },
      { sub: id, work: { app: "partner.example/agent/hiring", ticket: "rank-j42" } },
    ]) {
      assert.deepEqual(await ask(await forge(stranger, theirs.token, changes), theirs.keys), refused("token.claims"));
    }
    const named = await forge(stranger, theirs.token, { sub: id });
    assert.equal((await ask(named, theirs.keys)).status, 200);
    assert.match(String(g.tool.seen.at(-1)?.headers["x-cordon-agent"]), /^spiffe:\/\/stranger\.example\//);
    const elsewhere = await forge(partner, token, { aud: "https://other.example" });
    assert.deepEqual(await ask(elsewhere, keys), refused("token.audience"));
    assert.deepEqual(
      await ask(await forge(partner, token, { iss: `${partner.issuer}/` }), keys),
      refused("token.issuer"),
    );
    // The token of one with the key of the other's agent.
    assert.deepEqual(await ask(token, theirs.keys), refused("proof.key_mismatch"));
  });

  test("a human's interactive token is no agent's: not the ID token, not unbound, and not bound to a key either", async () => {
    const keys = await generateKeyPair("ES256", { extractable: true });
    const unbound = await partner.humanTokens();
    assert.equal(decodeJwt(unbound.idToken).sub, "alice");
    const refused = (reason: string) => ({ status: 401, reason });
    assert.deepEqual(await bearer(unbound.idToken), refused("token.type"));
    assert.deepEqual(await ask(unbound.idToken, keys), refused("token.type"));
    assert.deepEqual(await bearer(unbound.accessToken), refused("token.unbound"));
    assert.deepEqual(await ask(unbound.accessToken, keys), refused("token.unbound"));
    // A browser client with a key of its own: the token is sound, and yet names no agent.
    const bound = await partner.humanTokens(keys);
    assert.ok(decodeJwt(bound.accessToken)["cnf"] !== undefined);
    assert.deepEqual(await ask(bound.accessToken, keys), refused("token.claims"));
    assert.deepEqual(await bearer(bound.accessToken), refused("token.claims"));
  });
});
