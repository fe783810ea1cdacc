// H02: published requests that proxies and servers frame differently. Nothing severe reaches the tool, and the connection
// ends; whatever is forwarded is what was judged. h02-real-upstreams.test.ts asks real servers the same.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { skipWithoutVectors, type Vector, VECTOR_FOLDER, vectorBytes, vectors, VECTORS_MIN } from "./desync-vectors.ts";
import { hostOf, openRaw } from "./raw-client.ts";

describe("H02 published desync vectors", { skip: skipWithoutVectors }, () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    assert.ok(vectors.length > VECTORS_MIN, `the vectors are missing: ${VECTOR_FOLDER}`);
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

  /** The vector with good credentials. */
  async function raw(vector: Vector): Promise<{ bytes: Buffer; body: string }> {
    const { authorization, dpop } = await agent.headers(g.url + vector.uri, vector.method);
    return vectorBytes(vector, hostOf(g.url), [`Authorization: ${authorization}`, `DPoP: ${dpop}`]);
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
