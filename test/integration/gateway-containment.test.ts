// Containment over real sockets, on two threads: when the call returns, every thread enforces it.
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

interface AppliedBody {
  readonly epoch: number;
  readonly threads: readonly { readonly outcome: string }[];
}

describe("containment", () => {
  let g: TestGateway;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      threads: 2,
      routes: [
        {
          name: "candidate",
          path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
          methods: ["GET"],
          resource: { type: "candidate_profiles", classification: "interview_safe" },
          upstream: { url: toolUrl, strip_prefix: "/ats", allow_private_addresses: true },
        },
        {
          name: "events",
          path: "/events/{job_id}",
          methods: ["GET"],
          mode: "observe",
          resource: { type: "events", classification: "interview_safe" },
          upstream: { url: toolUrl, allow_private_addresses: true },
        },
      ],
    }));
  });
  after(() => g.close());

  const contain = (level: string, id: string, mode: string, more: object = {}) =>
    g.operate("PUT", `/v1/containment/${level}`, { id, mode, reason: "a test of containment", ...more });

  test("a blocked agent's next call is refused on every thread, and others go on", async () => {
    const [bad, good] = [await g.agent(), await g.agent()];
    assert.equal((await bad.call(g.url + PATH)).status, 200);
    const applied = await contain("agent", bad.id, "blocked");
    assert.equal(applied.status, 200, applied.text);
    assert.deepEqual(
      applied.json<AppliedBody>().threads.map((thread) => thread.outcome),
      ["acknowledged", "acknowledged"],
    );
    // Each call is a connection of its own, so the kernel spreads them over both threads.
    const answers = await Promise.all(Array.from({ length: 24 }, () => bad.call(g.url + PATH)));
    assert.ok(answers.every((answer) => answer.status === 403));
    assert.equal(answers[0]?.json<{ code: string }>().code, "blocked");
    assert.equal((await good.call(g.url + PATH)).status, 200);
    const released = await g.operate("POST", "/v1/containment/agent/release", { id: bad.id, reason: "it was a test" });
    assert.equal(released.status, 200, released.text);
    assert.equal((await bad.call(g.url + PATH)).status, 200);
  });

  test("a task and a single token can be blocked", async () => {
    const [one, other] = [await g.agent({ task: "t-one" }), await g.agent({ task: "t-two" })];
    assert.equal((await contain("task", `spiffe://acme.example/agent/hiring/t-one`, "blocked")).status, 200);
    assert.equal((await one.call(g.url + PATH)).status, 403);
    assert.equal((await other.call(g.url + PATH)).status, 200);
    const line = (await g.lines("access", (entry) => entry["agent"] === other.id)).find(
      (entry) => entry["agent"] === other.id,
    );
    const token = `${String(line?.["issuer"])} ${String(line?.["jti"])}`;
    assert.equal((await contain("token", token, "blocked")).status, 200);
    assert.equal((await other.call(g.url + PATH)).status, 403);
  });

  test("a quarantined agent sees no difference, its allowed calls land at the monitor, its denials stay denials", async () => {
    const agent = await g.agent();
    assert.equal((await contain("agent", agent.id, "quarantined")).status, 200);
    g.tool.seen.length = 0;
    g.monitor.seen.length = 0;
    const answer = await agent.call(g.url + PATH);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json(), { ok: true });
    assert.equal(g.tool.seen.length, 0, "the tool saw nothing");
    assert.equal(g.monitor.seen.length, 1);
    assert.equal(g.monitor.seen[0]?.headers["x-cordon-containment"], "quarantined");
    assert.equal((await agent.call(`${g.url}/ats/jobs/J43/candidates/C1`)).status, 403);
    const id = answer.headers["x-cordon-request-id"];
    const lines = await g.lines("access", (line) => line["request_id"] === id);
    assert.equal(lines.find((line) => line["request_id"] === id)?.["outcome"], "mirrored");
  });

  test("a drained agent goes on until the deadline and is refused after it", async () => {
    const agent = await g.agent();
    assert.equal((await contain("agent", agent.id, "draining", { drain_s: 1 })).status, 200);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    let status = 200;
    while (status === 200) status = (await agent.call(g.url + PATH)).status;
    assert.equal(status, 403);
    const lines = await g.lines("access", (line) => line["reason"] === "containment.drained");
    assert.ok(lines.some((line) => line["agent"] === agent.id));
  });

  test("H20 a block cuts an open event stream within a second, with a reason in the log", async () => {
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: one\n\n");
    };
    const agent = await g.agent();
    const url = `${g.url}/events/J42`;
    const headers = await agent.headers(url);
    const stream = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, { headers, agent: false }, resolve).on("error", reject).end();
    });
    const first = await new Promise<string>((resolve) => stream.once("data", (chunk) => resolve(String(chunk))));
    assert.equal(first, "data: one\n\n");
    const ended = new Promise<string>((resolve) => {
      stream.once("error", () => resolve("cut"));
      stream.once("end", () => resolve("clean end"));
      stream.resume();
    });
    const startedAt = performance.now();
    assert.equal((await contain("agent", agent.id, "blocked")).status, 200);
    assert.equal(await ended, "cut", "a truncated stream must not look complete");
    assert.ok(performance.now() - startedAt < 1000);
    const lines = await g.lines("access", (line) => line["agent"] === agent.id);
    assert.equal(lines.find((line) => line["agent"] === agent.id)?.["reason"], "stream.cut_containment");
  });

  test("the operators see who was contained, by whom and why", async () => {
    const list = await g.operate("GET", "/v1/containment");
    assert.match(list.text, /a test of containment/);
    const lines = await g.lines("audit", (line) => line["action"] === "containment.blocked");
    assert.ok(lines.some((line) => line["operator"] === "admin" && line["reason"] === "a test of containment"));
  });
});

test("containment survives a restart", async () => {
  const first = await startTestGateway();
  const agent = "spiffe://acme.example/agent/hiring/rank-j42/i1";
  const { folder } = first;
  await first.operate("PUT", "/v1/containment/agent", { id: agent, mode: "blocked", reason: "stays blocked" });
  await first.gateway.close();
  const second = await startTestGateway({}, { folder });
  try {
    const again = await second.agent({ instance: "i1" });
    assert.equal(again.id, agent);
    assert.equal((await again.call(second.url + PATH)).status, 403);
  } finally {
    await second.close();
    await first.tool.close();
    await first.monitor.close();
  }
});

test("an obligation of the policy quarantines the agent for good, and the exchange that triggered it never reaches the tool", async () => {
  const g = await startTestGateway(({ toolUrl }) => ({
    routes: [
      {
        name: "people",
        path: "/people/{id}",
        methods: ["GET"],
        resource: { type: "personal_data", classification: "restricted" },
        upstream: { url: toolUrl, allow_private_addresses: true },
      },
    ],
  }));
  try {
    const agent = await g.agent({
      cordon: {
        intent: {
          task: "rank-j42",
          purpose: "pricing",
          scope: [],
          details: [],
          constraints: {},
          expires_at: "2099-01-01T00:00:00Z",
        },
      },
    });
    assert.equal((await agent.call(`${g.url}/people/1`)).status, 403);
    assert.equal(g.tool.seen.length, 0);
    const lines = await g.lines("audit", (line) => line["mode"] === "quarantined");
    assert.match(String(lines.find((line) => line["mode"] === "quarantined")?.["by"]), /^policy:/);
    const list = await g.operate("GET", "/v1/containment");
    assert.ok(list.text.includes(agent.id));
    assert.ok(g.log.some((line) => line.includes('"alert"') && line.includes("high")));
  } finally {
    await g.close();
  }
});
