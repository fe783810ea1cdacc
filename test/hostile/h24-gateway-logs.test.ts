// H24 over real sockets: whatever a client sends, each log stays one JSON record a line, without control characters,
// credentials, query values or bodies.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { call, startTestGateway } from "../fixtures/test-gateway.ts";
import { sendRaw } from "./raw-client.ts";

const SECRET = "s3cr3t-value-of-a-query";
const BODY_SECRET = "s3cr3t-value-of-a-body";
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => path.join(folder, name));
}

test("H24 nothing that a client sends forges a log line, hides in one, or leaves a credential in one", async () => {
  const g = await startTestGateway();
  try {
    const agent = await g.agent();
    const at = (target: string): string => `${g.url}${target}`;
    const esc = "\u001b[2K\u001b[31m";
    // Credentials and unsafe characters in every place that may end up in a log.
    await agent.call(at(`/ats/jobs/J42/candidates/${agent.token}`));
    await agent.call(at(`/ats/jobs/J42/candidates/C1?access_token=${agent.token}&note=${SECRET}`));
    await agent.call(at(`/ats/jobs/${encodeURIComponent("\u202eJ42\u2028")}/candidates/C1`));
    await agent.call(at("/ats/jobs/J42/candidates/C%0d%0a%7B%22forged%22%3Atrue%7D"));
    await agent.call(at("/ats/jobs/J42/candidates/C1/score"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ score: 1000, comment: `${BODY_SECRET}\n${agent.token} ${esc}` }),
    });
    await call(at("/ats/jobs/J42/candidates/C1"), { headers: { authorization: `Bearer ${agent.token}` } });
    await call(at("/ats/jobs/J42/candidates/C1"), {
      headers: { authorization: `DPoP ${agent.token}`, dpop: "eyJhbGciOiJub25lIn0.e30." },
    });
    const { host } = new URL(g.url);
    for (const line of [
      `GET /ats/${esc} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
      `GET /ats/x HTTP/1.1\r\nhost: ${host}\u0007${SECRET}\r\n\r\n`,
      `GET /ats/x HTTP/1.1\r\nhost: ${host}\r\nauthorization: DPoP ${agent.token}\r\n folded: ${SECRET}\r\n\r\n`,
      `${"G".repeat(40)}\u001b /ats HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
    ]) {
      await sendRaw(g.url, line);
    }
    const last = await agent.call(at("/ats/jobs/J42/candidates/C1"));
    const id = last.headers["x-cordon-request-id"];
    await g.lines("access", (line) => line["request_id"] === id);
    await g.lines("audit", (line) => line["request_id"] === id && line["type"] === "outcome");
    await g.gateway.close();

    const found = files(path.join(g.folder, "data"));
    assert.equal(found.length, 3);
    const [, payload = "", signature = ""] = agent.token.split(".");
    for (const text of [...found.map((file) => readFileSync(file, "utf8")), g.log.join("")]) {
      assert.doesNotMatch(text, UNSAFE);
      for (const secret of [agent.token, payload, signature, SECRET, BODY_SECRET])
        assert.ok(!text.includes(secret), secret);
      const lines = text.split("\n").slice(0, -1);
      for (const line of lines) assert.equal(typeof JSON.parse(line), "object");
      assert.ok(!lines.some((line) => "forged" in (JSON.parse(line) as object)));
    }
  } finally {
    await g.close();
  }
});
