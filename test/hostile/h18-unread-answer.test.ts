// H18: a caller that never reads an answer which the gateway already holds in full. It is ended in time, others are served.
import assert from "node:assert/strict";
import { get, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { startTestGateway } from "../fixtures/test-gateway.ts";

const IDLE_MS = 1000;
/** More than the socket buffers of both sides hold. */
const ANSWER_BYTES = 12 * 1024 * 1024;

test("H18 a redacted answer that its caller never reads is dropped with its connection", {
  timeout: 30_000,
}, async () => {
  const g = await startTestGateway(({ toolUrl }) => ({
    limits: { idle_timeout_ms: IDLE_MS },
    routes: [
      {
        name: "candidate",
        path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
        methods: ["GET"],
        limits: { redact_bytes_max: 16 * 1024 * 1024 },
        resource: { type: "candidate_profiles", classification: "interview_safe" },
        upstream: { url: toolUrl, allow_private_addresses: true },
      },
    ],
  }));
  try {
    g.tool.answer = (request, response) => {
      const large = request.url?.endsWith("large") === true;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ salary: 1, text: "x".repeat(large ? ANSWER_BYTES : 1) }));
    };
    const agent = await g.agent();
    const url = `${g.url}/ats/jobs/J42/candidates/large`;
    const headers = await agent.headers(url);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get(url, { headers, agent: false }, resolve).on("error", reject);
    });
    assert.equal(answer.statusCode, 200);
    // Nobody reads. Meanwhile, for longer than the limit, others are served.
    const until = performance.now() + 2 * IDLE_MS;
    while (performance.now() < until) {
      assert.equal((await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`)).status, 200);
    }
    let read = 0;
    answer.on("data", (chunk: Buffer) => {
      read += chunk.length;
    });
    const complete = await new Promise<boolean>((resolve) => {
      answer.once("end", () => resolve(true));
      answer.once("error", () => resolve(false));
    });
    assert.equal(complete, false, "what was dropped must not look complete");
    assert.ok(read < ANSWER_BYTES);
  } finally {
    await g.close();
  }
});
