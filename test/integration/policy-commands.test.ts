import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";
import { buildFromSource, parsePolicyData, watchPolicy } from "../../src/admin/policy-source.ts";
import { parseBundle } from "../../src/policy/parse-bundle.ts";
import { skipWithoutOpa } from "./opa-for-tests.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cordon-policy-commands-"));
after(() => rmSync(folder, { recursive: true, force: true }));
cpSync(join(root, "policies"), join(folder, "policies"), { recursive: true });

function cordon(...args: string[]): { code: number | null; out: string; problem: string } {
  const script = `import { Command } from "commander"; import { register } from "./src/cli/policy-commands.ts";
    const program = new Command(); register(program); await program.parseAsync(process.argv.slice(1), { from: "user" });`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", script, "policy", ...args], {
    cwd: root,
    encoding: "utf8",
  });
  return { code: run.status, out: run.stdout, problem: run.stderr };
}

function withRego(name: string, rego: string): string {
  const copy = join(folder, name);
  cpSync(join(root, "policies"), copy, { recursive: true });
  writeFileSync(join(copy, "extra.rego"), rego);
  return copy;
}

const input = {
  agent: { id: "spiffe://acme.example/agent/o/t/i" },
  intent: { purpose: "pricing", scope: ["read:pricing:*"], constraints: {} },
  session: { initiator: { type: "user", id: "a" } },
  action: { http: { method: "GET" } },
  resource: { type: "pricing_data", classification: "internal", params: {} },
  environment: { time: "2026-01-01T00:00:00Z" },
};

test("policy build writes a bundle that parses, with a revision of its content", { skip: skipWithoutOpa }, () => {
  const out = join(folder, "built.tar.gz");
  const run = cordon("build", join(folder, "policies"), "-o", out);
  assert.equal(run.code, 0, run.problem);
  const parsed = parseBundle(readFileSync(out));
  assert.ok(parsed.ok);
  assert.match(parsed.value.revision, /^[0-9a-f]{12}$/);
  assert.ok(run.out.includes(parsed.value.revision));
});

test("a policy that reaches out with http.send fails to build, by name, and writes nothing", {
  skip: skipWithoutOpa,
}, () => {
  const copy = withRego(
    "sends",
    'package rules.sends\n\nallow if http.send({"url": "http://127.0.0.1", "method": "get"}).status_code == 200\n',
  );
  const out = join(folder, "sends.tar.gz");
  const run = cordon("build", copy, "-o", out);
  assert.equal(run.code, 1);
  assert.match(run.problem, /undefined function http\.send/);
  assert.match(run.problem, /extra\.rego:3/);
  assert.equal(existsSync(out), false);
});

for (const call of ['rand.intn("x", 2) == 1', 'opa.runtime().env.HOME != ""', 'uuid.rfc4122("x") != ""']) {
  test(`a policy that is not a function of its input fails to build: ${call}`, { skip: skipWithoutOpa }, async () => {
    const built = await buildFromSource(withRego(call.slice(0, 4), `package rules.extra\n\nallow if ${call}\n`));
    assert.match(built.ok ? "" : built.error, /undefined function/);
  });
}

test("H13 a policy that allows by default is refused", { skip: skipWithoutOpa }, () => {
  const copy = join(folder, "open");
  cpSync(join(root, "policies", "data.json"), join(copy, "data.json"), { recursive: true });
  writeFileSync(
    join(copy, "open.rego"),
    'package cordon\n\ndecision := {"allow": true, "reasons": [], "obligations": {}}\n',
  );
  const run = cordon("check", copy);
  assert.equal(run.code, 1);
  assert.match(run.problem, /it must deny by default/);
});

test("H13 a policy whose own tests fail is not built", { skip: skipWithoutOpa }, async () => {
  const copy = join(folder, "failing");
  cpSync(join(root, "policies"), copy, { recursive: true });
  writeFileSync(join(copy, "failing_test.rego"), "package tests.failing\n\ntest_never if false\n");
  const built = await buildFromSource(copy);
  assert.match(built.ok ? "" : built.error, /test_never: FAIL/);
  assert.equal(cordon("test", copy).code, 1);
});

test("policy test runs the policy's own tests", { skip: skipWithoutOpa }, () => {
  const run = cordon("test", join(folder, "policies"));
  assert.equal(run.code, 0, run.problem);
  assert.match(run.out, /PASS: \d+\/\d+/);
});

test("policy check accepts the committed bundle and tells its budget", () => {
  const run = cordon("check", join(root, "policies", "bundle.tar.gz"), "--budget-ms", "5000");
  assert.equal(run.code, 0, run.problem);
  assert.match(run.out, /denies by default, stays within 5000 ms/);
});

test("policy try prints the decision for an input, and the same for a line of the decision log", () => {
  const file = join(folder, "input.json");
  for (const document of [input, { decision_id: "d1", input }]) {
    writeFileSync(file, JSON.stringify(document));
    const run = cordon("try", "--input", file);
    assert.equal(run.code, 0, run.problem);
    assert.deepEqual(JSON.parse(run.out), { allow: true, reasons: [], obligations: {} });
  }
});

test("policy try says what it could not read, with exit code 2", () => {
  const missing = cordon("try", "--input", join(folder, "absent.json"));
  assert.equal(missing.code, 2);
  assert.match(missing.problem, /absent\.json cannot be read/);
  const file = join(folder, "timeless.json");
  writeFileSync(file, "{}");
  const timeless = cordon("try", "--input", file);
  assert.equal(timeless.code, 2);
  assert.match(timeless.problem, /environment\.time/);
});

test("data has one revision however its text is written, and must be an object", () => {
  const [a, b] = [parsePolicyData('{"a":1,"b":{"c":2,"d":3}}'), parsePolicyData('{ "b": {"d":3,"c":2}, "a": 1 }')];
  assert.ok(a.ok && b.ok);
  assert.equal(a.value.revision, b.value.revision);
  assert.match(a.value.revision, /^[0-9a-f]{12}$/);
  for (const text of ["[]", "null", "3", "{"]) assert.equal(parsePolicyData(text).ok, false);
});

test("a change of a watched file or folder is reported, also when the file is replaced", async () => {
  const watched = join(folder, "watched.json");
  writeFileSync(watched, "{}");
  for (const path of [watched, join(folder, "policies")]) {
    const changed = Promise.withResolvers<void>();
    const watcher = watchPolicy([path], changed.resolve);
    // The watch starts by itself; writing until it reports needs no guess about when.
    let round = 0;
    const writing = setInterval(() => {
      round += 1;
      writeFileSync(path === watched ? watched : join(path, "data.json"), `{"round":${round}}`);
    }, 100);
    await changed.promise;
    clearInterval(writing);
    watcher.close();
  }
});
