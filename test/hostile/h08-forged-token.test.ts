// H08: tokens that ask to be believed. Each is 401, nothing they name is fetched, and the time is bounded.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { generateProof, type KeyPair } from "dpop";
import { exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import { call, portOf, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
/** Far above any honest verification, far below a hang, also on a busy machine. */
const BOUND_MS = 5000;

const encode = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

const isKeyPair = (value: unknown): value is KeyPair => typeof value === "object" && value !== null;

describe("H08 tokens that ask to be believed", () => {
  let g: TestGateway;
  let agent: TestAgent;
  let trap: Server;
  let fetched: string[];
  let trapUrl: string;
  let attacker: Awaited<ReturnType<typeof generateKeyPair>>;
  before(async () => {
    attacker = await generateKeyPair("ES256", { extractable: true });
    const jwk = { ...(await exportJWK(attacker.publicKey)), kid: "k1", alg: "ES256" };
    fetched = [];
    // Whoever fetches gets a key that would make the forgery good.
    trap = createServer((request, response) => {
      fetched.push(String(request.url));
      response.end(JSON.stringify({ keys: [jwk] }));
    });
    await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
    trapUrl = `http://127.0.0.1:${portOf(trap)}`;
    g = await startTestGateway({ limits: { header_bytes_max: 65_536 } });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    trap.closeAllConnections();
    await new Promise((resolve) => trap.close(resolve));
  });
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  const parts = () => agent.token.split(".") as [string, string, string];
  const claims = () => JSON.parse(Buffer.from(parts()[1], "base64url").toString()) as Record<string, unknown>;

  async function send(token: string, keys?: unknown): Promise<{ status: number; reason: unknown }> {
    const dpop = await generateProof(isKeyPair(keys) ? keys : agent.keys, g.url + PATH, "GET", undefined, token);
    const started = performance.now();
    const answer = await call(g.url + PATH, { headers: { authorization: `DPoP ${token}`, dpop } });
    assert.ok(performance.now() - started < BOUND_MS);
    const id = answer.headers["x-cordon-request-id"];
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return { status: answer.status, reason: (await g.lines("access", mine)).find(mine)?.["reason"] };
  }

  async function forged(header: Record<string, unknown>): Promise<string> {
    const signer = new SignJWT(claims()).setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "k1", ...header });
    return signer.sign(attacker.privateKey, {
      crit: { [String((header["crit"] as string[] | undefined)?.[0])]: true },
    });
  }

  test("H08 alg none, in any case and with or without a signature, is refused", async () => {
    const [, payload, signature] = parts();
    const tokens = ["none", "None", "NONE", "nOnE", ""].flatMap((alg) => {
      const head = encode({ alg, typ: "at+jwt", kid: "k1" });
      return ["", signature, encode("x")].map((tail) => `${head}.${payload}.${tail}`);
    });
    for (const answer of await Promise.all(tokens.map(send))) {
      assert.equal(answer.status, 401);
      assert.match(String(answer.reason), /^token\.(?:algorithm|malformed)$/);
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("H08 HS256 with the issuer's public key as secret is refused, in whatever form the key is written", async () => {
    const file = JSON.parse(readFileSync(path.join(g.folder, "jwks.json"), "utf8")) as {
      keys: [Record<string, unknown>];
    };
    const [jwk] = file.keys;
    const pem = await exportSPKI((await importJWK(jwk, "ES256")) as CryptoKey);
    const secrets = [pem, pem.trim(), JSON.stringify(jwk), JSON.stringify(file)];
    const tokens = ["HS256", "HS384", "HS512"].flatMap((alg) => {
      const input = `${encode({ alg, typ: "at+jwt", kid: "k1" })}.${parts()[1]}`;
      return secrets.map(
        (secret) =>
          `${input}.${createHmac(`sha${alg.slice(2)}`, secret)
            .update(input)
            .digest("base64url")}`,
      );
    });
    for (const answer of await Promise.all(tokens.map(send))) {
      assert.deepEqual(answer, { status: 401, reason: "token.algorithm" });
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("H08 a signature by another key is refused under the right kid, an unknown one and none", async () => {
    assert.deepEqual(await send(await forged({})), { status: 401, reason: "token.signature" });
    assert.deepEqual(await send(await forged({ kid: "k2" })), { status: 401, reason: "token.key_unknown" });
    assert.deepEqual(await send(await forged({ kid: undefined })), { status: 401, reason: "token.signature" });
    assert.equal(g.tool.seen.length, 0);
  });

  test("H08 jku, x5u and jwk in the header are never followed", async () => {
    const jwk = await exportJWK(attacker.publicKey);
    for (const header of [
      { jku: `${trapUrl}/jku`, kid: "k1" },
      { jku: `${trapUrl}/jku`, kid: "k9" },
      { x5u: `${trapUrl}/x5u` },
      { jwk },
      { jwk, kid: undefined },
      { x5c: ["MIIB"] },
      { iss: `${trapUrl}/iss` },
    ]) {
      const answer = await send(await forged(header));
      assert.equal(answer.status, 401);
      assert.match(String(answer.reason), /^token\.(?:signature|key_unknown)$/);
    }
    assert.deepEqual(fetched, [], "a key set was fetched");
    assert.equal(g.tool.seen.length, 0);
  });

  test("H08 a kid with a path, a URL, a query or a control byte is only ever a name that no key has", async () => {
    const kids = [
      "../../../../etc/passwd",
      "/dev/null",
      "file:///etc/passwd",
      `${trapUrl}/kid`,
      "k1' OR '1'='1",
      "k1\u0000",
      "k1\n",
      "K1",
      "__proto__",
      "constructor",
      "",
      "k".repeat(256),
      "k".repeat(257),
    ];
    for (const answer of await Promise.all(kids.map(async (kid) => send(await forged({ kid }))))) {
      assert.equal(answer.status, 401);
      assert.match(String(answer.reason), /^token\.(?:key_unknown|malformed)$/);
    }
    assert.deepEqual(fetched, []);
  });

  test("H08 an unknown crit and b64:false are refused before anything else is believed", async () => {
    const [, payload, signature] = parts();
    for (const header of [
      { crit: ["exp"], exp: 1 },
      { crit: ["urn:x"], "urn:x": 1 },
      { crit: [] },
      { crit: null },
      { b64: false, crit: ["b64"] },
      { b64: false },
      { b64: true },
    ]) {
      const head = encode({ alg: "ES256", typ: "at+jwt", kid: "k1", ...header });
      assert.deepEqual(await send(`${head}.${payload}.${signature}`), { status: 401, reason: "token.critical_header" });
    }
  });

  test("H08 another type of token is no access token: an id token and a proof are refused", async () => {
    for (const typ of ["JWT", "dpop+jwt", "id+jwt", undefined]) {
      const head = encode({ alg: "ES256", kid: "k1", ...(typ === undefined ? {} : { typ }) });
      assert.deepEqual(await send(`${head}.${parts()[1]}.${parts()[2]}`), { status: 401, reason: "token.type" });
    }
  });

  test("H08 another spelling of the same token is refused, not taken for another one", async () => {
    const [head, payload, signature] = parts();
    const last = signature.at(-1) ?? "";
    const sibling = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 64 bytes in base64url end in a character with four unused bits.
    const other = sibling[(sibling.indexOf(last) & ~15) | ((sibling.indexOf(last) + 1) & 15)] ?? "";
    for (const token of [
      `${head}.${payload}.${signature.slice(0, -1)}${other}`,
      `${head}.${payload}.${signature}=`,
      `${head}.${payload}.${signature}==`,
    ]) {
      assert.equal((await send(token)).status, 401);
    }
    assert.equal((await send(agent.token)).status, 200);
  });

  test("H08 a token above the limit is 401 where the headers still fit, and 431 where they do not", async () => {
    const [head, , signature] = parts();
    const big = `${head}.${encode({ ...claims(), padding: "x".repeat(20_000) })}.${signature}`;
    assert.deepEqual(await send(big), { status: 401, reason: "token.too_large" });
    const huge = `${head}.${"A".repeat(1_048_576)}.${signature}`;
    const started = performance.now();
    const answer = await call(g.url + PATH, { headers: { authorization: `DPoP ${huge}`, dpop: "a.b.c" } }).catch(
      // The gateway answers and closes before a megabyte is written: a client may see only the reset.
      (error: NodeJS.ErrnoException) => ({ status: 431, error: error.code }),
    );
    assert.equal(answer.status, 431);
    assert.ok(performance.now() - started < BOUND_MS);
    assert.equal(g.tool.seen.length, 0);
    await g.lines("access", (line) => line["reason"] === "exchange.headers_too_large");
  });

  test("H08 a token that the issuer signed, but that is bound to nothing or not valid yet, is refused", async () => {
    const now = Math.floor(Date.now() / 1000);
    const cases: [Record<string, unknown>, string][] = [
      [{ nbf: now + 3600 }, "token.not_yet_valid"],
      [{ cnf: undefined }, "token.unbound"],
      [{ cnf: {} }, "token.unbound"],
      [{ cnf: { kid: "k1" } }, "token.unbound"],
      [{ cnf: { jkt: "short" } }, "token.claims"],
      [{ cordon: undefined }, "token.claims"],
    ];
    await Promise.all(
      cases.map(async ([change, reason]) => {
        const { token, keys } = await g.agent({ claims: change });
        assert.deepEqual(await send(token, keys), { status: 401, reason });
      }),
    );
    assert.equal(g.tool.seen.length, 0);
  });
});
