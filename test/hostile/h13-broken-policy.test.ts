// H13: a broken policy bundle at reload. The last good one stays, loudly, and decisions go on.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { bundlePartsOf, misbehaving, packParts } from "../fixtures/policy-bundles.ts";
import { packBundle } from "../unit/policy/tar-writer.ts";

const GOOD = new URL("../../policies/bundle.tar.gz", import.meta.url);
const PATH = "/ats/jobs/J42/candidates/C1";

describe("H13 a broken policy at reload", () => {
  let folder: string;
  let file: string;
  let g: TestGateway;
  let agent: TestAgent;
  let revision: string;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-h13-"));
    file = path.join(folder, "bundle.tar.gz");
    copyFileSync(GOOD, file);
    g = await startTestGateway({ policy: { bundle: file, watch: false } });
    agent = await g.agent();
    revision = (await info()).bundle;
  });
  after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function info(): Promise<{ bundle: string; last_error?: string }> {
    const answer = await g.operate("GET", "/v1/policy");
    return answer.json<{ bundle: string; last_error?: string }>();
  }

  const good = bundlePartsOf(GOOD);
  const broken: readonly (readonly [string, () => Uint8Array])[] = [
    ["is garbage", () => Buffer.from("not a bundle at all")],
    ["is empty", () => Buffer.alloc(0)],
    ["is cut in half", () => readFileSync(GOOD).subarray(0, 20_000)],
    ["has no policy in it", () => packBundle([{ path: "/data.json", content: "{}" }])],
    [
      "has another entry point",
      () =>
        packParts({ ...good, manifest: { wasm: [{ entrypoint: "other/decision", module: "/policy.wasm" }] } }, "r1"),
    ],
    ["has a module that is no WebAssembly", () => packParts({ ...good, wasm: Buffer.from("wasm?") }, "r2")],
    ["has data that is no JSON", () => packParts({ ...good, data: "{" }, "r3")],
    ["allows by default", () => misbehaving("good")],
    ["throws", () => misbehaving("conflict")],
    ["answers with no decision", () => misbehaving("malformed")],
    ["loops", () => misbehaving("loop")],
  ];

  for (const [what, make] of broken) {
    test(`H13 a bundle that ${what} is refused: the last good one stays in force, loudly`, async () => {
      writeFileSync(file, make());
      const logged = g.log.length;
      const reload = await g.operate("POST", "/v1/policy/reload");
      assert.ok(reload.status >= 400 && reload.status < 500, `${reload.status} ${reload.text}`);
      const now = await info();
      assert.equal(now.bundle, revision);
      assert.equal(typeof now.last_error, "string");
      assert.ok(g.log.slice(logged).some((line) => line.includes("the last good one stays")));
      assert.equal((await agent.call(g.url + PATH)).status, 200);
      assert.equal((await agent.call(`${g.url}${PATH}/salary`)).status, 403);
    });
  }

  test("H13 a bundle that is gone is refused too", async () => {
    rmSync(file);
    assert.ok((await g.operate("POST", "/v1/policy/reload")).status >= 400);
    assert.equal((await info()).bundle, revision);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
  });

  test("H13 broken data is refused, and the data in force stays", async () => {
    for (const body of ["[]", "7", "null"]) {
      const answer = await g.operate("PUT", "/v1/policy/data", JSON.parse(body));
      assert.ok(answer.status >= 400 && answer.status < 500, answer.text);
    }
    assert.equal((await agent.call(g.url + PATH)).status, 200);
  });

  test("H13 a good bundle mends it: it is activated and the error is gone", async () => {
    writeFileSync(file, packParts(good, "mended"));
    const reload = await g.operate("POST", "/v1/policy/reload");
    assert.equal(reload.status, 200, reload.text);
    const now = await info();
    assert.equal(now.bundle, "mended");
    assert.equal(now.last_error, undefined);
    const answer = await agent.call(g.url + PATH);
    assert.equal(answer.status, 200);
    const id = answer.headers["x-cordon-request-id"];
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    const line = (await g.lines("access", mine)).find(mine);
    assert.match(JSON.stringify(line), /mended/);
  });

  test("H13 every refusal and every activation stands in the audit log", async () => {
    const lines = await g.lines("audit", (line) => JSON.stringify(line).includes("mended"));
    const outcomes = lines.filter((line) => line["type"] === "policy").map((line) => line["outcome"]);
    assert.ok(outcomes.filter((outcome) => outcome === "refused").length >= broken.length);
  });
});
