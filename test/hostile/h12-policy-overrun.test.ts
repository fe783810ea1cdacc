// H12: a policy that runs too long on one thread, while another thread carries on. The committed default bundle refuses
// nothing of this kind, so the test brings a policy that loops for one candidate and allows all others.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { type CallAnswer, startTestGateway } from "../fixtures/test-gateway.ts";
import { opaPath, skipWithoutOpa } from "../integration/opa-for-tests.ts";

const REGO = `package cordon.decision

import rego.v1

default allow := false

allow if {
	input.agent.id
	input.resource.params.candidate_id != "loop"
}

allow if {
	input.resource.params.candidate_id == "loop"
	range := numbers.range(1, 3000)
	some a in range
	some b in range
	some c in range
	a == b
	b == c
	c == 0
}

reasons := []

obligations := {}
`;

async function statusOf(answer: Promise<CallAnswer>): Promise<number> {
  try {
    return (await answer).status;
  } catch {
    return 0; // reset
  }
}

test("H12 a hanging policy ends one thread with 503 for its clients, and is refused after the second time", {
  skip: skipWithoutOpa,
}, async () => {
  assert.notEqual(opaPath, "", "CI needs opa");
  const g = await startTestGateway(({ folder }) => {
    mkdirSync(path.join(folder, "rego"));
    writeFileSync(path.join(folder, "rego", "decision.rego"), REGO);
    execFileSync(opaPath, [
      "build",
      "-t",
      "wasm",
      "-e",
      "cordon/decision",
      "-o",
      path.join(folder, "loop.tar.gz"),
      path.join(folder, "rego"),
    ]);
    return { threads: 2, policy: { bundle: "loop.tar.gz", watch: false } };
  });
  try {
    const [culprit, other] = [await g.agent(), await g.agent()];
    const looping = `${g.url}/ats/jobs/J42/candidates/loop`;
    const fine = `${g.url}/ats/jobs/J42/candidates/C1`;

    for (let round = 1; round <= 2; round++) {
      const hung = culprit.call(looping);
      // While one thread hangs, the other one answers: some of these connections land on it. One that the kernel gave to
      // the hung thread, which never accepted it, is reset when the thread ends: that client was told nothing, 0 here.
      const others = Array.from({ length: 12 }, () => statusOf(other.call(fine)));
      const answer = await hung;
      assert.equal(answer.status, 503, `round ${round}`);
      // The supervisor writes the line that the thread could not.
      let told: unknown[] = [];
      while (told.length < round) {
        await new Promise(setImmediate);
        told = (await g.lines("access", () => true)).filter((line) => line["reason"] === "gateway.thread_ended");
      }
      assert.equal(answer.json<{ code: string }>().code, "unavailable");
      const statuses = await Promise.all(others);
      assert.ok(
        statuses.every((status) => status === 200 || status === 503 || status === 0),
        statuses.join(" "),
      );
      assert.ok(statuses.includes(200), "the other thread notices nothing");
      // The successor serves.
      const serving = async (): Promise<number> => {
        const status = await g.operate("GET", "/v1/status");
        return status.json<{ threads: { state: string }[] }>().threads.filter((one) => one.state === "serving").length;
      };
      while ((await serving()) < 2) await new Promise(setImmediate);
    }
    const third = await culprit.call(looping);
    assert.equal(third.status, 403);
    const id = third.headers["x-cordon-request-id"] ?? third.json<{ request_id: string }>().request_id;
    const lines = await g.lines("access", (line) => line["request_id"] === id);
    assert.equal(lines.find((line) => line["request_id"] === id)?.["reason"], "policy.suspended");
    assert.ok(g.log.some((line) => line.includes("ran too long")));
  } finally {
    await g.close();
  }
});
