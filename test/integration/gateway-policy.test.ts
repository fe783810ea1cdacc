// A policy that changes under traffic: every exchange is judged by the old one or the new one, and none is dropped.
import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { skipWithoutOpa } from "./opa-for-tests.ts";

const policies = path.join(packageRoot(), "policies");
const PATH = "/ats/jobs/J42/candidates/C1";

interface Data {
  jobs: Record<string, { open: boolean }>;
}

function dataWithJob(open: boolean): Data {
  const data = JSON.parse(readFileSync(path.join(policies, "data.json"), "utf8")) as Data;
  const job = data.jobs["J42"];
  assert.ok(job);
  job.open = open;
  return data;
}

/** Calls without pause until told to stop; gives back every status, with what was thrown as 0. */
function traffic(agent: TestAgent, url: string): { stop(): Promise<number[]> } {
  const stopping = new AbortController();
  const statuses: number[] = [];
  const loops = [1, 2, 3, 4].map(async () => {
    while (!stopping.signal.aborted) statuses.push((await agent.call(url)).status);
  });
  return {
    async stop() {
      stopping.abort();
      await Promise.all(loops);
      return statuses;
    },
  };
}

async function revision(g: TestGateway): Promise<{ bundle: string; data: string; last_error?: string }> {
  return (await g.operate("GET", "/v1/policy")).json();
}

test("a job that closes by a data update takes its permissions with it at once, without a dropped request", async () => {
  const g = await startTestGateway({ threads: 2 });
  try {
    const agent = await g.agent();
    const calls = traffic(agent, g.url + PATH);
    for (let round = 0; round < 3; round++) {
      assert.equal((await g.operate("PUT", "/v1/policy/data", dataWithJob(false))).status, 200);
      // The call has returned: from now on, on every thread, nobody reads.
      const after = await Promise.all(Array.from({ length: 8 }, () => agent.call(g.url + PATH)));
      assert.deepEqual([...new Set(after.map((answer) => answer.status))], [403]);
      assert.equal((await g.operate("PUT", "/v1/policy/data", dataWithJob(true))).status, 200);
      assert.equal((await agent.call(g.url + PATH)).status, 200);
    }
    const statuses = await calls.stop();
    assert.ok(statuses.length > 20);
    assert.deepEqual(new Set(statuses), new Set([200, 403]));

    const before = await revision(g);
    assert.equal((await g.operate("PUT", "/v1/policy/data", [1])).status >= 400, true);
    assert.deepEqual(await revision(g), before, "data that is no object changes nothing");
  } finally {
    await g.close();
  }
});

test("data that was put can be taken back, and a configured file that is written later wins over it", async () => {
  const g = await startTestGateway(({ folder }) => {
    writeFileSync(path.join(folder, "data.json"), JSON.stringify(dataWithJob(true)));
    return { policy: { data: "data.json", watch: false } };
  });
  try {
    const agent = await g.agent();
    const status = async (): Promise<number> => (await agent.call(g.url + PATH)).status;
    assert.equal(await status(), 200);
    assert.equal((await g.operate("PUT", "/v1/policy/data", dataWithJob(false))).status, 200);
    assert.equal((await g.operate("POST", "/v1/policy/reload")).status, 200);
    assert.equal(await status(), 403, "a reload does not bring back what was taken away");
    const taken = await g.operate("DELETE", "/v1/policy/data");
    assert.equal(taken.status, 200, taken.text);
    assert.equal(await status(), 200);
    assert.equal((await g.operate("DELETE", "/v1/policy/data")).status, 422, "there is nothing left to take back");

    assert.equal((await g.operate("PUT", "/v1/policy/data", dataWithJob(false))).status, 200);
    const file = path.join(g.folder, "data.json");
    const later = new Date(Date.now() + 10_000);
    utimesSync(file, later, later);
    assert.equal((await g.operate("POST", "/v1/policy/reload")).status, 200);
    assert.equal(await status(), 200);
  } finally {
    await g.close();
  }
});

test("H13 data that leaves the policy too little memory to judge is refused before it is kept or in force", async () => {
  // It loads, and a small input can be judged beside it; the largest allowed one cannot.
  const vast = JSON.stringify({ ...dataWithJob(true), vast: Array.from({ length: 325_000 }, (_, index) => index) });
  const g = await startTestGateway(({ folder }) => {
    writeFileSync(path.join(folder, "data.json"), JSON.stringify(dataWithJob(true)));
    return { policy: { data: "data.json", watch: false } };
  });
  try {
    const agent = await g.agent();
    const before = await revision(g);
    const stillGood = async (what: string): Promise<void> => {
      const now = await revision(g);
      assert.equal(now.data, before.data);
      assert.match(now.last_error ?? "", /was refused: .*opa_malloc/);
      assert.equal((await agent.call(g.url + PATH)).status, 200, what);
    };
    const put = await g.operate("PUT", "/v1/policy/data", JSON.parse(vast));
    assert.equal(put.status, 422, put.text);
    await stillGood("after the data was put");
    assert.equal(existsSync(path.join(g.folder, "data", "policy-data.json")), false);

    writeFileSync(path.join(g.folder, "data.json"), vast);
    assert.equal((await g.operate("POST", "/v1/policy/reload")).status, 422);
    await stillGood("after the configured file was read again");
  } finally {
    await g.close();
  }
});

test("H13 a reload in the background that throws is refused aloud, and the next one works", {
  skip: skipWithoutOpa,
}, async () => {
  const g = await startTestGateway(({ folder }) => {
    cpSync(policies, path.join(folder, "policies"), { recursive: true });
    return { policy: { source: "policies", watch: true } };
  });
  const before = process.env["TMPDIR"];
  try {
    process.env["TMPDIR"] = path.join(g.folder, "gone");
    writeFileSync(path.join(g.folder, "policies", "extra.rego"), "package extra\n");
    let now = await revision(g);
    while (now.last_error === undefined) now = await revision(g);
    assert.match(now.last_error, /ENOENT/);
    assert.ok(g.log.some((line) => line.includes("the last good one stays") && line.includes("file change")));
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
  try {
    assert.equal((await g.operate("POST", "/v1/policy/reload")).status, 200);
    assert.equal((await revision(g)).last_error, undefined);
  } finally {
    await g.close();
  }
});

test("data that an operator has put is kept over a restart", async () => {
  const first = await startTestGateway();
  try {
    assert.equal((await first.operate("PUT", "/v1/policy/data", dataWithJob(false))).status, 200);
  } finally {
    await first.gateway.close();
  }
  const second = await startTestGateway({}, { folder: first.folder });
  try {
    assert.equal((await (await second.agent()).call(second.url + PATH)).status, 403);
  } finally {
    await second.close();
    await Promise.all([first.tool.close(), first.monitor.close()]);
  }
});

test("a bundle file that is replaced is live without a restart, and a broken one changes nothing", async () => {
  const g = await startTestGateway(({ folder }) => {
    copyFileSync(path.join(policies, "bundle.tar.gz"), path.join(folder, "bundle.tar.gz"));
    return { policy: { bundle: "bundle.tar.gz", watch: true } };
  });
  try {
    const agent = await g.agent();
    const before = await revision(g);
    const file = path.join(g.folder, "bundle.tar.gz");
    writeFileSync(`${file}.new`, "not a bundle");
    renameSync(`${file}.new`, file);
    let now = await revision(g);
    while (now.last_error === undefined) now = await revision(g);
    assert.equal(now.bundle, before.bundle);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    assert.ok(g.log.some((line) => line.includes("the last good one stays")));
  } finally {
    await g.close();
  }
});

test("an edit of the Rego is built, tested and live without a restart or a dropped request; a bad edit changes nothing", {
  skip: skipWithoutOpa,
}, async () => {
  const g = await startTestGateway(({ folder }) => {
    cpSync(policies, path.join(folder, "policies"), { recursive: true });
    return { policy: { source: "policies", watch: false } };
  });
  try {
    const agent = await g.agent();
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    const calls = traffic(agent, g.url + PATH);
    const extra = path.join(g.folder, "policies", "rules-freeze.rego");
    writeFileSync(
      extra,
      'package rules.freeze\n\nimport rego.v1\n\ndeny contains {"code": "freeze.nobody"} if input.agent.id\n',
    );
    const edited = await g.operate("POST", "/v1/policy/reload");
    // The examples' own tests expect permissions that the freeze takes away, so a policy that breaks them is refused.
    assert.equal(edited.status, 422, edited.text);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    writeFileSync(
      extra,
      'package rules.freeze\n\nimport rego.v1\n\ndeny contains {"code": "freeze.nobody"} if input.resource.route == "candidate"\n',
    );
    const reloaded = await g.operate("POST", "/v1/policy/reload");
    assert.equal(reloaded.status, 200, reloaded.text);
    assert.equal((await agent.call(g.url + PATH)).status, 403);
    writeFileSync(extra, "package rules.freeze\n\nthis is not Rego\n");
    assert.equal((await g.operate("POST", "/v1/policy/reload")).status, 422);
    assert.equal((await agent.call(g.url + PATH)).status, 403, "the last good one stays");
    assert.deepEqual(new Set(await calls.stop()), new Set([200, 403]));
  } finally {
    await g.close();
  }
});
