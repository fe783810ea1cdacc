// H12: a policy that throws, is undefined or malformed. A deny with its own reason, and a fresh instance after it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { misbehaving } from "../fixtures/policy-bundles.ts";

/** The candidate says how the policy behaves: its data would be refused by the checks before activation. */
const PATH = "/ats/jobs/J42/candidates/";

describe("H12 a policy that misbehaves on demand", () => {
  let folder: string;
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-h12-"));
    const bundle = path.join(folder, "bundle.tar.gz");
    writeFileSync(bundle, misbehaving("asked"));
    g = await startTestGateway({ policy: { bundle, watch: false } });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function reasonOf(answer: CallAnswer): Promise<unknown> {
    const id = answer.headers["x-cordon-request-id"];
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return (await g.lines("access", mine)).find(mine)?.["reason"];
  }

  for (const [name, reason] of [
    ["deny", "policy.denied"],
    ["nothing", "policy.undefined"],
    ["malformed", "policy.malformed_decision"],
    ["unknown_obligation", "policy.unknown_obligation"],
    ["conflict", "policy.error"],
    ["throw", "policy."],
  ] as const) {
    test(`H12 a policy in mode ${name} denies with ${reason}, and the next decision is good again`, async () => {
      g.tool.seen.length = 0;
      const answer = await agent.call(g.url + PATH + name);
      assert.equal(answer.status, 403);
      assert.ok(String(await reasonOf(answer)).startsWith(reason), String(await reasonOf(answer)));
      assert.equal(g.tool.seen.length, 0);
      assert.equal((await agent.call(`${g.url}${PATH}good`)).status, 200);
    });
  }
});
