import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { decodeJwt } from "jose";
import { CordonError } from "../../../src/agent/cordon-error.ts";
import { createKey } from "../../../src/agent/create-key.ts";
import { createOAuthFetch } from "../../../src/agent/create-oauth-fetch.ts";

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

const BOUND: Answer = { status: 200, body: { access_token: "t", token_type: "DPoP", expires_in: 60 } };
const GRANT = { method: "POST", body: new URLSearchParams({ grant_type: "client_credentials" }) };

/** Gives the answers in turn, the last one for ever. */
async function startServer(t: TestContext, ...answers: readonly Answer[]) {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    request.resume();
    const { status, body, headers } = answers[Math.min(seen.length, answers.length - 1)] ?? BOUND;
    seen.push(request.headers);
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const asksFor = (nonce: string): Answer => ({
  status: 400,
  body: { error: "use_dpop_nonce" },
  headers: { "dpop-nonce": nonce },
});

test("a token request has a proof of the key, and the next one the nonce that the last answer gave", async (t) => {
  const { url, seen } = await startServer(t, { ...BOUND, headers: { "dpop-nonce": "n1" } }, BOUND);
  const send = createOAuthFetch({ key: createKey() });
  const answer = await send(`${url}/token?a=b`, GRANT);
  assert.deepEqual(await answer.json(), BOUND.body);
  await send(`${url}/token`, { method: "post", body: "grant_type=refresh_token" });
  const proofs = seen.map(({ dpop }) => decodeJwt(String(dpop)));
  assert.deepEqual(
    proofs.map(({ htm, htu, nonce, ath }) => [htm, htu, nonce, ath]),
    [
      ["POST", `${url}/token`, undefined, undefined],
      ["POST", `${url}/token`, "n1", undefined],
    ],
  );
});

test("a nonce that is asked for is given once, and a second refusal is the client's to read", async (t) => {
  const { url, seen } = await startServer(t, asksFor("n1"), BOUND, asksFor("n2"));
  const send = createOAuthFetch({ key: createKey() });
  assert.equal((await send(`${url}/token`, GRANT)).status, 200);
  const refused = await send(`${url}/token`, GRANT);
  assert.deepEqual([refused.status, await refused.json()], [400, { error: "use_dpop_nonce" }]);
  assert.equal(seen.length, 4);
  assert.equal(new Set(seen.map(({ dpop }) => decodeJwt(String(dpop)).jti)).size, 4);
});

test("a token that is bound to nothing never reaches the client", async (t) => {
  for (const body of [{ access_token: "t", token_type: "Bearer" }, { access_token: "t" }, "no object", {}]) {
    const { url } = await startServer(t, { status: 200, body: body as object });
    const refused = createOAuthFetch({ key: createKey() })(`${url}/token`, GRANT);
    await assert.rejects(refused, (error) => error instanceof CordonError && error.code === "issuer_answer_invalid");
  }
});

test("what the client sends as Bearer goes as DPoP, and everything else as it is", async (t) => {
  const { url, seen } = await startServer(t, { status: 200, body: {} });
  const send = createOAuthFetch({ key: createKey() });
  await send(`${url}/mcp`, { method: "POST", body: "{}", headers: { authorization: "bearer t1", accept: "a/b" } });
  await send(`${url}/mcp`, { headers: new Headers({ authorization: "Bearer t2" }) });
  await send(`${url}/register`, { method: "POST", body: JSON.stringify({ grant_types: [] }) });
  await send(`${url}/metadata`, { headers: { authorization: "Basic x" } });
  assert.deepEqual(
    seen.map(({ authorization, accept, dpop }) => [authorization, accept, dpop !== undefined]),
    [
      ["DPoP t1", "a/b", true],
      ["DPoP t2", "*/*", true],
      [undefined, "*/*", false],
      ["Basic x", "*/*", false],
    ],
  );
  assert.notEqual(decodeJwt(String(seen[0]?.dpop))["ath"], decodeJwt(String(seen[1]?.dpop))["ath"]);
});
