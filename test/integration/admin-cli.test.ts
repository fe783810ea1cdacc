import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { startAdmin } from "../unit/admin/start-admin.ts";

const AGENT = "spiffe://acme.example/agent/o/t/i";
const COMMANDS = new URL("../../src/cli/control-commands.ts", import.meta.url).href;
const PROGRAM = `
  import { Command } from "commander";
  import { register } from ${JSON.stringify(COMMANDS)};
  const program = new Command("cordon");
  program.command("policy").command("build");
  register(program);
  await program.parseAsync(process.argv.slice(1), { from: "user" });
`;

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

function cordon(env: Record<string, string>, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", PROGRAM, "--", ...args], {
      cwd: new URL("../..", import.meta.url),
      env: { PATH: process.env["PATH"], ...env },
    });
    let out = "";
    let error = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      out += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      error += part;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, error }));
  });
}

async function start(t: TestContext) {
  const admin = await startAdmin(t);
  const env = { CORDON_CONTROL_URL: admin.url, CORDON_OPERATOR_KEY_FILE: admin.keyFile };
  return { ...admin, env, cli: (...args: string[]) => cordon(env, ...args) };
}

suite("the operators' command line against a running API", () => {
  test("status, agents and containment are readable and leave with 0", async (t) => {
    const { cli } = await start(t);
    const [status, agents, containment] = await Promise.all([cli("status"), cli("agents"), cli("containment")]);
    assert.match(status.out, /gateway +Cordon 0\.1\.0, ready, up 1 min\nlistener/);
    assert.match(agents.out, new RegExp(`^AGENT .*\n${AGENT} +active +user:alice`));
    assert.equal(containment.out, "Nothing is contained (epoch 0).\n");
    assert.deepEqual([status.code, agents.code, containment.code], [0, 0, 0]);
  });

  test("block, drain, quarantine and release reach the gateway with who and why", async (t) => {
    const { cli, control, logged } = await start(t);
    const block = await cli("block", "agent", AGENT, "--reason", "odd reads");
    assert.equal(block.error, "");
    assert.match(block.out, /^agent spiffe:.* is blocked\. In force on 1 thread\(s\) after 1\.5 ms \(epoch 1\)\.\n$/);
    await cli("drain", "task", "spiffe://acme.example/agent/o/t", "--reason", "wind down", "--within", "2m");
    await cli("quarantine", "token", "https://idp.example j1", "--reason", "watch");
    const listed = await cli("containment");
    assert.match(listed.out, /task +spiffe:\/\/acme\.example\/agent\/o\/t +draining +1970-01-01T00:02:01\.000Z +admin/);
    const release = await cli("release", "agent", AGENT, "--reason", "false alarm");
    assert.match(release.out, /^Released\. /);
    assert.deepEqual(control.changes, [
      { name: "contain", values: [{ level: "agent", id: AGENT, mode: "blocked", reason: "odd reads" }, "admin"] },
      {
        name: "contain",
        values: [
          { level: "task", id: "spiffe://acme.example/agent/o/t", mode: "draining", reason: "wind down", drainS: 120 },
          "admin",
        ],
      },
      {
        name: "contain",
        values: [{ level: "token", id: "https://idp.example j1", mode: "quarantined", reason: "watch" }, "admin"],
      },
      { name: "release", values: ["agent", AGENT, "false alarm", "admin"] },
    ]);
    assert.deepEqual(
      logged.map(({ operator, action, reason, outcome }) => [operator, action, reason, outcome]),
      [
        ["admin", "containment.blocked", "odd reads", "applied"],
        ["admin", "containment.draining", "wind down", "applied"],
        ["admin", "containment.quarantined", "watch", "applied"],
        ["admin", "containment.release", "false alarm", "applied"],
      ],
    );
  });

  test("a chain is blocked by its issuer and its session", async (t) => {
    const { cli, control } = await start(t);
    const block = await cli("block", "chain", "https://idp.example s1", "--reason", "it got out of hand");
    assert.match(block.out, /^chain https:\/\/idp\.example s1 is blocked\./);
    const change = { level: "chain", id: "https://idp.example s1", mode: "blocked", reason: "it got out of hand" };
    assert.deepEqual(control.changes, [{ name: "contain", values: [change, "admin"] }]);
    assert.match((await cli("agents", "--json")).out, /"chain": ?"https:\/\/issuer\.example s1"/);
  });

  test("policy reload and data put work beside the other commands of the policy group", async (t) => {
    const { cli, control, folder } = await start(t);
    const file = join(folder, "data.json");
    const json = '{"limit": 1.0, "big": 9007199254740993}';
    writeFileSync(file, json);
    assert.match((await cli("policy", "reload")).out, /^In force: policy r1, from default/);
    assert.match((await cli("policy", "data", "put", file)).out, /data d1/);
    assert.deepEqual(control.changes[1], { name: "putPolicyData", values: [json, "admin"] });
    writeFileSync(file, '{"refuse-me": 1}');
    const refused = await cli("policy", "data", "put", file);
    assert.equal(refused.code, 1);
    assert.match(refused.error, /does not pass the policy's checks\. The policy in force did not change\./);
    writeFileSync(file, "{");
    assert.equal((await cli("policy", "data", "put", file)).code, 2);
  });

  test("an operator who is added can work with the key that was shown, until removed", async (t) => {
    const { cli, env } = await start(t);
    const added = JSON.parse((await cli("operators", "add", "soc-1", "responder", "--json")).out) as { key: string };
    const own = { CORDON_CONTROL_URL: env.CORDON_CONTROL_URL, CORDON_OPERATOR_KEY: added.key };
    assert.equal((await cordon(own, "block", "agent", AGENT, "--reason", "r")).code, 0);
    const reload = await cordon(own, "policy", "reload");
    assert.deepEqual([reload.code, reload.error.split("\n")[0]], [1, "The role responder does not allow this."]);
    assert.match((await cli("operators", "list")).out, /soc-1 +responder/);
    assert.equal((await cli("operators", "remove", "soc-1")).out, "soc-1 is removed.\n");
    assert.match((await cordon(own, "status")).error, /does not accept this operator's key/);
    assert.match((await cli("operators", "remove", "admin")).error, /last admin/);
  });

  test("what is wrong is said with how to mend it: no gateway, no key, wrong level, bad time", async (t) => {
    const { cli, env } = await start(t);
    const nobody = await cordon({ ...env, CORDON_CONTROL_URL: "http://127.0.0.1:1" }, "status");
    assert.deepEqual([nobody.code, nobody.out], [1, ""]);
    assert.match(nobody.error, /No gateway answers at http:\/\/127\.0\.0\.1:1 .*\n.*--url/);
    const noKey = await cli("status", "--key-file", "/nonexistent/operator.key");
    assert.equal(noKey.code, 2);
    assert.match(noKey.error, /ENOENT.*\n.*--key-file/);
    const level = await cli("block", "orchestration", "x", "--reason", "r");
    assert.equal(level.code, 2);
    assert.match(level.error, /orchestration is not a level; use one of agent, token, task, chain/);
    assert.equal((await cli("drain", "agent", AGENT, "--reason", "r", "--within", "soon")).code, 2);
    const id = await cli("block", "agent", "somebody", "--reason", "r");
    assert.equal(id.code, 1);
    assert.match(id.error, /for the level agent, write spiffe:\/\//);
  });
});
