// H02: published requests that proxies and servers frame differently. Nothing severe reaches the tool, and the connection
// ends; whatever is forwarded is what was judged. Vectors: aws/http-desync-guardian (Apache-2.0), read from outside.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "yaml";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw } from "./raw-client.ts";

const FOLDER = fileURLToPath(new URL("../../../shared/vectors", import.meta.url));

interface Vector {
  readonly name: string;
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly headers?: readonly { readonly name: string; readonly value: string | number }[];
  readonly expected: { readonly tier: "Severe" | "Ambiguous" | "Acceptable" | "Compliant" };
}

const found = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => /^http-desync-.*\.yaml$/.test(name)) : [];
const vectors = found.flatMap((name) => parse(readFileSync(path.join(FOLDER, name), "utf8")) as Vector[]);
const missing = found.length === 0 && process.env["CI"] === undefined ? `no http-desync vectors in ${FOLDER}` : false;

/** Text above U+00FF goes out as UTF-8, all else byte for byte, as the vectors mean it. */
function bytesOf(text: string): Buffer {
  return Buffer.from(text, /[^\u0000-\u00ff]/.test(text) ? "utf8" : "latin1");
}

describe("H02 published desync vectors", { skip: missing }, () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    assert.ok(vectors.length > 100, `the vectors are missing: ${FOLDER}`);
    g = await startTestGateway(({ toolUrl }) => ({
      // The most permissive route there is: every method, any body, unread, and a policy whose verdict is only observed.
      routes: [
        {
          name: "open",
          path: "/**",
          methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
          mode: "observe",
          body: "stream",
          resource: { type: "any", classification: "any" },
          upstream: { url: toolUrl, allow_private_addresses: true },
        },
      ],
      limits: { request_timeout_ms: 3000, headers_timeout_ms: 3000 },
    }));
    agent = await g.agent();
  });
  after(() => g.close());

  /** The vector with good credentials, and a body that each of its framings would accept. */
  async function raw(vector: Vector): Promise<{ bytes: Buffer; body: string }> {
    const headers = vector.headers ?? [];
    const { authorization, dpop } = await agent.headers(g.url + vector.uri, vector.method);
    const chunked = headers.some(({ name }) => /transfer.encoding/i.test(name));
    const length = headers.find(({ name }) => /content.length/i.test(name))?.value;
    const body = chunked
      ? "5\r\nhello\r\n0\r\n\r\n"
      : "x".repeat(Math.min(Number.parseInt(String(length ?? 0), 10) || 0, 5000));
    const hosts = headers.some(({ name }) => name.toLowerCase() === "host") ? [] : [`Host: ${hostOf(g.url)}`];
    const lines = [
      `${vector.method} ${vector.uri}${vector.version === "" ? "" : ` ${vector.version}`}`,
      ...hosts,
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}`,
      ...headers.map(({ name, value }) => `${name}: ${String(value)}`),
    ];
    return { bytes: Buffer.concat([bytesOf(`${lines.join("\r\n")}\r\n\r\n`), Buffer.from(body)]), body };
  }

  test("H02 the same request without a fault is forwarded, so that only the vector is to blame", async () => {
    g.tool.seen.length = 0;
    const plain: Vector = {
      name: "",
      method: "POST",
      uri: "/foo/bar",
      version: "HTTP/1.1",
      headers: [{ name: "Content-Length", value: 5 }],
      expected: { tier: "Compliant" },
    };
    const connection = await openRaw(g.url);
    connection.write((await raw(plain)).bytes);
    assert.equal((await connection.answers(1))[0]?.status, 200);
    connection.destroy();
    assert.equal(g.tool.seen[0]?.body, "xxxxx");
  });

  for (const [index, vector] of vectors.entries()) {
    const { tier } = vector.expected;
    test(`H02 vector ${index} (${tier}): ${JSON.stringify(vector.name).slice(1, 80)}`, async () => {
      g.tool.seen.length = 0;
      const { bytes, body } = await raw(vector);
      const connection = await openRaw(g.url);
      connection.write(bytes);
      // A severe one must be ended by the gateway; any other one at least answered.
      if (tier === "Severe") await connection.closed;
      else await connection.answered();
      const answers = await connection.answers(tier === "Severe" ? 1 : 0);
      connection.destroy();
      if (tier === "Severe") {
        assert.equal(g.tool.seen.length, 0, "a severe request reached the tool");
        assert.ok(answers.length <= 1);
        if (answers[0] !== undefined) assert.ok([400, 405, 421, 431].includes(answers[0].status), answers[0].head);
        return;
      }
      assert.ok(g.tool.seen.length <= 1, "one request became two");
      const [seen] = g.tool.seen;
      if (seen === undefined) return;
      assert.match(vector.version, /^HTTP\/1\.[01]$/);
      assert.equal(seen.method, vector.method);
      assert.equal(seen.url, vector.uri);
      const names = seen.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
      const framing = names.filter((name) => name === "content-length" || name === "transfer-encoding");
      assert.ok(framing.length <= 1, "the tool was given two framings");
      assert.equal(seen.body, body.startsWith("5\r\n") ? "hello" : body);
    });
  }
});
