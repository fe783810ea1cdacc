import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createDpopFetch } from "../../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../../src/agent/create-key.ts";

interface Seen {
  readonly method: string;
  readonly authorization: string | undefined;
  readonly claims: Record<string, string>;
  readonly body: string;
}

/** A resource server that wants a nonce, as RFC 9449 section 9 describes it. */
async function startResource(t: TestContext, options: { nonce?: string; alwaysRefuse?: boolean } = {}) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void readText(request).then((body) => {
      const [, payload = ""] = String(request.headers["dpop"]).split(".");
      const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
      seen.push({ method: request.method ?? "", authorization: request.headers.authorization, claims, body });
      if (request.url === "/moved") return response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
      if (options.nonce !== undefined && (options.alwaysRefuse === true || claims.nonce !== options.nonce)) {
        const challenge = 'DPoP error="use_dpop_nonce", algs="ES256"';
        return response.writeHead(401, { "www-authenticate": challenge, "dpop-nonce": options.nonce }).end();
      }
      return response.end("ok");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

async function readText(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

test("every request carries the token as DPoP and a fresh proof for its method, URL and token", async (t) => {
  const { url, seen } = await startResource(t);
  const send = createDpopFetch({ getToken: () => "token", key: createKey() });
  await send(`${url}/a?q=1`, { method: "post", body: "x", headers: { authorization: "Bearer other" } });
  await send(new Request(`${url}/b`));
  await send(new URL(`${url}/c`));
  assert.deepEqual(
    seen.map(({ method, authorization, claims, body }) => [method, authorization, claims["htm"], claims["htu"], body]),
    [
      ["POST", "DPoP token", "POST", `${url}/a`, "x"],
      ["GET", "DPoP token", "GET", `${url}/b`, ""],
      ["GET", "DPoP token", "GET", `${url}/c`, ""],
    ],
  );
  const ath = createHash("sha256").update("token").digest("base64url");
  assert.ok(seen.every(({ claims }) => claims["ath"] === ath));
  assert.equal(new Set(seen.map(({ claims }) => claims["jti"])).size, 3);
});

test("a nonce challenge is answered once, and the nonce is kept for the next request", async (t) => {
  const { url, seen } = await startResource(t, { nonce: "n1" });
  const send = createDpopFetch({ getToken: async () => "token", key: createKey() });
  assert.equal((await send(url, { method: "POST", body: "same" })).status, 200);
  assert.equal((await send(new Request(url))).status, 200);
  assert.deepEqual(
    seen.map(({ claims, body }) => [claims["nonce"], body]),
    [
      [undefined, "same"],
      ["n1", "same"],
      ["n1", ""],
    ],
  );
});

test("a server that keeps asking for a nonce is not asked a third time", async (t) => {
  const { url, seen } = await startResource(t, { nonce: "n1", alwaysRefuse: true });
  const send = createDpopFetch({ getToken: () => "token", key: createKey() });
  assert.equal((await send(url)).status, 401);
  assert.equal(seen.length, 2);
});

test("a Request with a body is sent again after a nonce challenge", async (t) => {
  const { url, seen } = await startResource(t, { nonce: "n1" });
  const send = createDpopFetch({ getToken: () => "token", key: createKey() });
  assert.equal((await send(new Request(url, { method: "POST", body: "again" }))).status, 200);
  assert.deepEqual(
    seen.map(({ body }) => body),
    ["again", "again"],
  );
});

test("a streamed body cannot be sent again, and the error says so", async (t) => {
  const { url } = await startResource(t, { nonce: "n1" });
  const send = createDpopFetch({ getToken: () => "token", key: createKey() });
  const stream = new Blob(["x"]).stream();
  const init = { method: "POST", body: stream, duplex: "half" } as RequestInit;
  await assert.rejects(send(url, init), { name: "CordonError", code: "body_not_repeatable" });
});

test("the token is not sent to an origin that is not listed, and a redirect is not followed with it", async (t) => {
  const { url, seen } = await startResource(t);
  const send = createDpopFetch({ getToken: () => "token", key: createKey(), origins: [url] });
  await assert.rejects(send("http://127.0.0.1:1/"), { code: "target_refused" });
  assert.equal((await send(`${url}/moved`)).status, 302);
  assert.equal(seen.length, 1);
});

test("a request whose token was superseded on the way is sent again with the new one, once and only then", async (t) => {
  const used: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    used.push(authorization);
    if (authorization === "DPoP new") return response.end("ok");
    return response.writeHead(401, { "www-authenticate": 'DPoP error="invalid_token", algs="ES256"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const tokens = ["old", "new", "new"];
  const renewed = createDpopFetch({ getToken: () => tokens.shift() ?? "new", key: createKey() });
  assert.equal((await renewed(url, { method: "POST", body: "same" })).status, 200);
  assert.deepEqual(used.splice(0), ["DPoP old", "DPoP new"]);
  const refused = createDpopFetch({ getToken: () => "old", key: createKey() });
  assert.equal((await refused(url)).status, 401);
  assert.deepEqual(used, ["DPoP old"]);
});
