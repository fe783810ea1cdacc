import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createKey } from "../../../src/agent/create-key.ts";
import { createGatewayClient } from "../../../src/agent/gateway-client.ts";

async function answersOf(t: TestContext, challenge: Record<string, string>, tokens: string[], status = 401) {
  const server = createServer((_request, response) => response.writeHead(status, challenge).end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const getToken = async (): Promise<string> => tokens.shift() ?? "last";
  const gateway = createGatewayClient({ origin, key: createKey(), getToken });
  t.after(() => {
    gateway.close();
    server.close();
  });
  const { outgoing, accessToken } = await gateway.open({ method: "GET", target: "/", headers: [], framing: [] });
  outgoing.end();
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  answer.resume();
  return gateway.mayPassAgain(answer, accessToken);
}

const nonce = { "www-authenticate": 'DPoP error="use_dpop_nonce", algs="ES256"', "dpop-nonce": "n1" };
const superseded = { "www-authenticate": 'DPoP error="invalid_token", algs="ES256"' };

test("a request passes again after a nonce challenge, and after a token that has a successor by now", async (t) => {
  assert.equal(await answersOf(t, nonce, ["a", "a"]), true);
  assert.equal(await answersOf(t, superseded, ["a", "b"]), true);
});

test("no other answer is worth a second request: it may have done something, or would be refused again", async (t) => {
  assert.equal(await answersOf(t, superseded, ["a", "a"]), false);
  assert.equal(await answersOf(t, nonce, ["a", "a"], 200), false);
  assert.equal(await answersOf(t, { "www-authenticate": nonce["www-authenticate"] }, ["a", "a"]), false);
  const scope = { "www-authenticate": 'DPoP error="insufficient_scope"' };
  assert.equal(await answersOf(t, scope, ["a", "b"], 403), false);
});
