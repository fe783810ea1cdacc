// The example tools over real sockets: a real service whose state survives, and a monitor that only records.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { startAts } from "../../examples/tools/ats/start-ats.ts";
import { startMonitor } from "../../examples/tools/monitor/start-monitor.ts";

function temporaryFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cordon-ats-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "ats.sqlite");
}

const post = (url: string, body: string) =>
  fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });

test("a candidate's record has a salary, the list of candidates has none", async (t) => {
  const ats = await startAts({ port: 0, file: temporaryFile(t) });
  t.after(() => ats.close());
  const one = await fetch(`${ats.url}/jobs/J42/candidates/C1`);
  assert.equal(one.headers.get("content-type"), "application/json");
  assert.deepEqual(await one.json(), {
    job_id: "J42",
    candidate_id: "C1",
    name: "Ada Byron",
    skills: ["typescript", "sqlite", "security"],
    notes: "Strong systems background.",
    classification: "interview_safe",
    salary: 84_000,
  });
  const list = (await (await fetch(`${ats.url}/jobs/J42/candidates`)).json()) as {
    status: string;
    candidates: object[];
  };
  assert.equal(list.status, "open");
  assert.equal(list.candidates.length, 3);
  assert.ok(list.candidates.every((candidate) => !Object.hasOwn(candidate, "salary")));
  const salary = await (await fetch(`${ats.url}/jobs/J42/candidates/C1/salary`)).json();
  assert.deepEqual(salary, { candidate_id: "C1", salary: 84_000 });
});

test("a score is created, listed, and still there after a restart", async (t) => {
  const file = temporaryFile(t);
  const first = await startAts({ port: 0, file });
  const created = await post(
    `${first.url}/jobs/J42/candidates/C2/score`,
    '{"score":87.5,"comment":"clear \\"code\\""}',
  );
  assert.equal(created.status, 201);
  const score = (await created.json()) as { score_id: number; created_at: string };
  await first.close();

  const second = await startAts({ port: 0, file });
  t.after(() => second.close());
  const scores = await (await fetch(`${second.url}/jobs/J42/candidates/C2/scores`)).json();
  assert.deepEqual(scores, {
    scores: [
      {
        score_id: score.score_id,
        candidate_id: "C2",
        score: 87.5,
        comment: 'clear "code"',
        created_at: score.created_at,
      },
    ],
  });
});

test("what is wrong is answered as JSON with its own status, and writes nothing", async (t) => {
  const ats = await startAts({ port: 0, file: temporaryFile(t) });
  t.after(() => ats.close());
  const score = `${ats.url}/jobs/J42/candidates/C1/score`;
  const bodies = [
    "",
    "not json",
    "null",
    "[]",
    "{}",
    '{"score":"9"}',
    '{"score":-1}',
    '{"score":101}',
    '{"score":1,"comment":7}',
  ];
  for (const body of bodies) {
    const response = await post(score, body);
    assert.equal(response.status, 400, body);
    assert.equal(((await response.json()) as { error: string }).error, "bad_request", body);
  }
  assert.equal((await post(score, " ".repeat(70_000))).status, 413);
  assert.equal((await post(`${ats.url}/jobs/J42/candidates/C9/score`, '{"score":1}')).status, 404);
  for (const path of [
    "/",
    "/jobs",
    "/jobs/J99/candidates",
    "/jobs/J42/candidates/nobody",
    "/jobs/J42/candidates/C1/other",
  ]) {
    assert.equal((await fetch(ats.url + path)).status, 404, path);
  }
  const wrongMethod = await fetch(score);
  assert.equal(wrongMethod.status, 405);
  assert.equal(wrongMethod.headers.get("allow"), "POST");
  assert.deepEqual(await (await fetch(`${ats.url}/jobs/J42/candidates/C1/scores`)).json(), { scores: [] });
});

test("the tool tells what reached it, header by header, and does not count the question", async (t) => {
  const ats = await startAts({ port: 0, file: temporaryFile(t) });
  t.after(() => ats.close());
  assert.equal(ats.requests(), 0);
  await fetch(`${ats.url}/jobs/J42/candidates`, { headers: { authorization: "DPoP x" } });
  await fetch(`${ats.url}/jobs/J99/candidates`);
  const seen = (await (await fetch(`${ats.url}/_seen`)).json()) as {
    count: number;
    requests: { method: string; path: string; headers: Record<string, string> }[];
  };
  assert.equal(seen.count, 2);
  assert.equal(ats.requests(), 2);
  assert.equal(seen.requests[0]?.path, "/jobs/J42/candidates");
  assert.equal(seen.requests[0]?.headers["authorization"], "DPoP x");
});

test("the monitor answers every request the same way, and keeps its body up to a limit", async (t) => {
  const monitor = await startMonitor({ port: 0 });
  t.after(() => monitor.close());
  assert.deepEqual(await (await post(`${monitor.url}/any/path?q=1`, '{"a":1}')).json(), { monitored: true });
  await post(`${monitor.url}/big`, "x".repeat(70_000));
  const seen = (await (await fetch(`${monitor.url}/_seen`)).json()) as {
    count: number;
    requests: { path: string; body: string }[];
  };
  assert.equal(seen.count, 2);
  assert.deepEqual(
    seen.requests.map(({ path, body }) => [path, body]),
    [
      ["/any/path?q=1", '{"a":1}'],
      ["/big", "(larger than the monitor keeps)"],
    ],
  );
});

test("a monitor that runs for long keeps the last 200 requests and counts them all", async (t) => {
  const monitor = await startMonitor({ port: 0 });
  t.after(() => monitor.close());
  for (let index = 0; index < 203; index += 1) await (await fetch(`${monitor.url}/${index}`)).text();
  const seen = (await (await fetch(`${monitor.url}/_seen`)).json()) as { count: number; requests: { path: string }[] };
  assert.equal(seen.count, 203);
  assert.equal(seen.requests.length, 200);
  assert.equal(seen.requests.at(-1)?.path, "/202");
});

test("a taken port is an error, not a crash", async (t) => {
  const ats = await startAts({ port: 0, file: temporaryFile(t) });
  t.after(() => ats.close());
  const port = Number(new URL(ats.url).port);
  await assert.rejects(startAts({ port, file: temporaryFile(t) }), { code: "EADDRINUSE" });
  await assert.rejects(startMonitor({ port }), { code: "EADDRINUSE" });
});
