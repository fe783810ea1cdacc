// The issuer in the hands of operators: its keys, its applications and what they were given. The real command line against a real gateway and its issuer.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { decodeJwt } from "jose";
import { stringify } from "yaml";
import { createAgent } from "../../src/agent/create-agent.ts";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";
import { createLauncher } from "../../src/agent/create-launcher.ts";
import { startCli } from "../fixtures/cli-process.ts";
import { startIssuingGateway } from "../fixtures/issuing-gateway.ts";
import { call, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

async function cordon(g: TestGateway, key: string, ...args: string[]) {
  const cli = startCli(args, { CORDON_CONTROL_URL: g.control, CORDON_OPERATOR_KEY: key });
  return { code: await cli.exited, out: cli.stdout(), error: cli.stderr() };
}

const PATH = "/ats/jobs/J42/candidates/C1";

/** An orchestrator with its files, and the agents that it launches and that spawn with the library. */
function orchestrator(g: TestGateway) {
  const key = createKey();
  const file = path.join(g.folder, "orchestra.yaml");
  const publish = ({ publicJwk, thumbprint: kid }: AgentKey, name = "next.jwks.json"): string => {
    const keys = path.join(g.folder, name);
    writeFileSync(keys, JSON.stringify({ keys: [{ ...publicJwk, kid }] }));
    return keys;
  };
  publish(key, "first.jwks.json");
  const write = (changes: object = {}): void =>
    writeFileSync(
      file,
      stringify({
        name: "orchestra",
        jwks: "first.jwks.json",
        orchestrations: ["hiring"],
        scope: ["read:candidates:*"],
        principals: ["user:*"],
        ...changes,
      }),
    );
  write();
  async function spawn(issuer: string, signer = key, task = "rank-j42") {
    const launcher = createLauncher({ issuer, application: "orchestra", key: signer });
    const { launchToken } = await launcher.launch({
      orchestration: "hiring",
      task,
      purpose: "rank-candidates",
      scope: ["read:candidates:J42"],
      constraints: { job_id: "J42" },
      principal: { type: "user", id: "recruiter_alice" },
    });
    return createAgent({ issuer, launchToken });
  }
  return { file, publish, write, spawn, kid: key.thumbprint };
}

suite("the issuer in the hands of operators", () => {
  test("keys are listed and rotated, a second rotation is refused with the time, and each try is logged and recorded", async (t) => {
    const { g, issuer, firstKid } = await startIssuingGateway(t);
    const listed = await cordon(g, g.operatorKey, "keys", "list");
    assert.deepEqual([listed.code, listed.error], [0, ""]);
    assert.match(listed.out, new RegExp(`^KEY .*\\n${firstKid} +active .* rotates from 20`));

    const rotated = await cordon(g, g.operatorKey, "keys", "rotate");
    assert.match(rotated.out, /^Key [\w-]{43} is published, and signs from 20.* Tokens in use stay valid\.\n$/);
    const next = rotated.out.split(" ")[1];
    const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string }[] };
    assert.ok(keys.some(({ kid }) => kid === next));

    const again = await cordon(g, g.operatorKey, "keys", "rotate");
    assert.equal(again.code, 1);
    assert.match(again.error, new RegExp(`A rotation is under way: key ${next} signs from 20`));
    const lines = await g.lines("audit", ({ action, outcome }) => action === "keys.rotate" && outcome === "refused");
    const mine = lines.filter(({ action }) => action === "keys.rotate");
    assert.deepEqual(
      mine.map(({ type, operator, outcome }) => [type, operator, outcome]),
      [
        ["operator", "admin", "applied"],
        ["operator", "admin", "refused"],
      ],
    );
    assert.equal(g.log.filter((line) => line.includes('"keys.rotate"')).length, 2);
    const file = path.join(g.folder, "data", "broker", "keys.json");
    const written = JSON.parse(readFileSync(file, "utf8")) as { keys: { d: string }[] };
    const told = listed.out + rotated.out + g.log.join("") + JSON.stringify(lines);
    for (const { d } of written.keys) assert.ok(!told.includes(d));
  });

  test("every role may list the keys, and only an admin may rotate them", async (t) => {
    const { g } = await startIssuingGateway(t);
    for (const role of ["viewer", "responder", "policy_editor"]) {
      const added = await g.operate("POST", "/v1/operators", { name: role.replace("_", "-"), role });
      const { key } = added.json<{ key: string }>();
      const ask = (method: string, target: string) =>
        call(g.control + target, {
          method,
          headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
          ...(method === "GET" ? {} : { body: "{}" }),
        });
      assert.equal((await ask("GET", "/v1/keys")).status, 200, role);
      const refused = await ask("POST", "/v1/keys/rotate");
      assert.deepEqual([refused.status, refused.json()["code"]], [403, "role_refused"], role);
    }
    assert.equal((await g.operate("GET", "/v1/keys")).json<{ keys: unknown[] }>().keys.length, 1);
    assert.equal((await call(`${g.control}/v1/keys`)).status, 401);
  });

  test("an application is added from a file, shown, listed, changed and rotated, and its orchestrator launches at once", async (t) => {
    const { g, issuer } = await startIssuingGateway(t);
    const o = orchestrator(g);
    const added = await cordon(g, g.operatorKey, "app", "add", o.file);
    assert.deepEqual([added.code, added.out, added.error], [0, "orchestra may launch agents.\n", ""]);
    const agent = await o.spawn(issuer);
    assert.equal((await agent.fetch(g.url + PATH)).status, 200);

    const shown = await cordon(g, g.operatorKey, "app", "show", "orchestra");
    assert.match(shown.out, /^from +an operator\n/);
    assert.match(shown.out, new RegExp(`\\nkey +P-256 ${o.kid}\\n`));
    assert.match(shown.out, /\nscope +read:candidates:\*\n/);
    assert.match((await cordon(g, g.operatorKey, "app", "list")).out, /\norchestra +operator +1 /);
    const twice = await cordon(g, g.operatorKey, "app", "add", o.file);
    assert.deepEqual([twice.code, twice.error], [1, "There is a client named orchestra already.\n"]);

    // A lower ceiling counts for the next launch.
    o.write({ scope: ["read:other:*"] });
    assert.equal((await cordon(g, g.operatorKey, "app", "add", "--replace", o.file)).out, "orchestra is changed.\n");
    await assert.rejects(o.spawn(issuer), { code: "scope_beyond_ceiling" });
    o.write();
    await cordon(g, g.operatorKey, "app", "add", "--replace", o.file);

    const next = createKey();
    const rotated = await cordon(g, g.operatorKey, "app", "rotate", "orchestra", o.publish(next));
    assert.deepEqual([rotated.code, rotated.out], [0, "orchestra signs with these keys from now on.\n"]);
    await assert.rejects(o.spawn(issuer), { code: "token_refused" });
    await o.spawn(issuer, next);
    const lines = await g.lines("audit", ({ action }) => action === "applications.rotate");
    assert.deepEqual(
      lines.flatMap(({ action, target, outcome }) =>
        String(action).startsWith("applications.") ? [`${String(action)} ${String(target)} ${String(outcome)}`] : [],
      ),
      [
        "applications.add orchestra applied",
        "applications.add orchestra refused",
        "applications.replace orchestra applied",
        "applications.replace orchestra applied",
        "applications.rotate orchestra applied",
      ],
    );
  });

  test("an application that is removed takes its agents along: the gateway refuses their next request", async (t) => {
    const { g, issuer } = await startIssuingGateway(t);
    const o = orchestrator(g);
    await cordon(g, g.operatorKey, "app", "add", o.file);
    const agent = await o.spawn(issuer);
    assert.equal((await agent.fetch(g.url + PATH)).status, 200);
    const removed = await cordon(g, g.operatorKey, "app", "remove", "orchestra", "--reason", "contract ended");
    assert.match(removed.out, /^orchestra is removed, and its agents have ended \(.*: 1\)\.\n$/);
    const refused = await agent.fetch(g.url + PATH);
    assert.equal(refused.status, 401);
    await assert.rejects(o.spawn(issuer), { code: "token_refused" });
    const again = await cordon(g, g.operatorKey, "app", "remove", "orchestra", "--reason", "again");
    assert.deepEqual([again.code, again.error], [1, "There is no application orchestra.\n"]);
  });

  test("a credential is revoked at each of four levels, and the gateway refuses the next request and no other agent's", async (t) => {
    const { g, issuer } = await startIssuingGateway(t);
    const o = orchestrator(g);
    await cordon(g, g.operatorKey, "app", "add", o.file);
    const bystander = await o.spawn(issuer, undefined, "other-task");
    for (const level of ["token", "agent", "chain", "task"]) {
      const agent = await o.spawn(issuer);
      assert.equal((await agent.fetch(g.url + PATH)).status, 200, level);
      const claims = decodeJwt<{ cordon: { session: { id: string } } }>(await agent.accessToken());
      const ids: Record<string, string> = {
        token: `${issuer} ${claims.jti}`,
        agent: agent.id,
        chain: `${issuer} ${claims.cordon.session.id}`,
        task: agent.id.slice(0, agent.id.lastIndexOf("/")),
      };
      const revoked = await cordon(g, g.operatorKey, "revoke", level, ids[level] ?? "", "--reason", "leaked");
      assert.deepEqual([revoked.code, revoked.error], [0, ""], level);
      assert.match(revoked.out, /is revoked\..* Every data thread refuses it from now on\.\n$/);
      const refused = await agent.fetch(g.url + PATH);
      assert.equal(refused.status, 401, level);
      assert.equal((await bystander.fetch(g.url + PATH)).status, 200, level);
    }
    await assert.rejects(o.spawn(issuer), { code: "revoked" });
    // The lines of four refusals are written within a quarter of a second.
    let refusals = 0;
    while (refusals < 4) {
      const isRevoked = ({ reason }: Record<string, unknown>): boolean => reason === "token.revoked";
      refusals = (await g.lines("access", isRevoked)).filter(isRevoked).length;
    }
    const lines = await g.lines("audit", ({ action }) => action === "revocations.revoke");
    assert.ok(lines.some(({ action, reason }) => action === "revocations.revoke" && reason === "leaked"));
    const unknown = await cordon(
      g,
      g.operatorKey,
      "revoke",
      "agent",
      "spiffe://acme.example/agent/o/t/i",
      "--reason",
      "r",
    );
    assert.deepEqual([unknown.code, unknown.error.includes("block it instead")], [1, true]);
    const wrong = await cordon(g, g.operatorKey, "revoke", "agents", "x", "--reason", "r");
    assert.deepEqual([wrong.code, wrong.out], [2, ""]);
    assert.match(wrong.error, /agents is not a level\.\nUse one of token, agent, task, chain/);
  });

  test("a responder may revoke and no more; a viewer may read and no more", async (t) => {
    const { g } = await startIssuingGateway(t);
    const body = { id: "spiffe://acme.example/agent/o/t", reason: "r" };
    for (const [role, expected] of [
      ["viewer", 403],
      ["responder", 200],
    ] as const) {
      const { key } = (await g.operate("POST", "/v1/operators", { name: role, role })).json<{ key: string }>();
      const ask = async (method: string, target: string, sent: object = {}) => {
        const text = JSON.stringify(sent);
        const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
        const framed = { ...headers, "content-length": String(Buffer.byteLength(text)) };
        const init = method === "GET" ? { headers } : { headers: framed, body: text };
        return (await call(g.control + target, { method, ...init })).status;
      };
      assert.equal(await ask("GET", "/v1/applications"), 200);
      assert.equal(await ask("POST", "/v1/revocations/task", body), expected);
      assert.equal(await ask("POST", "/v1/applications", { name: "x" }), 403);
      assert.equal(await ask("PUT", "/v1/applications/x", {}), 403);
      assert.equal(await ask("PUT", "/v1/applications/x/keys", {}), 403);
      assert.equal(await ask("DELETE", "/v1/applications/x", { reason: "r" }), 403);
    }
  });

  test("a file that does not do is refused with what to mend, and of a private key nothing is sent or shown", async (t) => {
    const { g } = await startIssuingGateway(t);
    const o = orchestrator(g);
    const secret = createKey().privateKey.export({ format: "jwk" });
    const files: [string, unknown, number, RegExp][] = [
      [
        "private",
        { jwks: { keys: [secret] } },
        2,
        /holds a private or a shared key; nothing was sent\.\nKeep that key/,
      ],
      ["none", { jwks: undefined }, 2, /names no public keys\.\nWrite: jwks:/],
      ["missing", { jwks: "nothing.json" }, 2, /nothing\.json cannot be read \(ENOENT\)/],
      ["unknown", { surprise: 1 }, 1, /surprise/],
      ["scope", { scope: ["*:a:b"] }, 1, /scope\.0: write a scope as/],
      ["name", { name: "Hiring" }, 1, /name: use lower-case letters/],
      ["depth", { depth_max: 6 }, 1, /depth_max/],
    ];
    for (const [what, changes, code, says] of files) {
      o.write(changes as object);
      const refused = await cordon(g, g.operatorKey, "app", "add", o.file);
      assert.deepEqual([refused.code, refused.out], [code, ""], `${what}: ${refused.error}`);
      assert.match(refused.error, says, what);
      assert.ok(!refused.error.includes(String(secret.d)));
    }
    // The API refuses it too, whoever sends it.
    const definition = { name: "x", orchestrations: ["x"], jwks: { keys: [secret] } };
    const sent = await g.operate("POST", "/v1/applications", definition);
    assert.deepEqual([sent.status, sent.json()["code"]], [400, "invalid_application"]);
    assert.ok(!(sent.text + g.log.join("")).includes(String(secret.d)));
    assert.deepEqual((await g.operate("GET", "/v1/applications")).json(), { applications: [] });
    const help = await cordon(g, g.operatorKey, "app", "add", "--help");
    assert.match(help.out, /FILE is YAML or JSON:\n {2}name: hiring/);
  });

  test("a gateway without an issuer of its own says so", async (t) => {
    const g = await startTestGateway();
    t.after(() => g.close());
    const answer = await cordon(g, g.operatorKey, "keys", "list");
    assert.equal(answer.code, 1);
    assert.match(answer.error, /This gateway has no issuer of its own; configure `broker`/);
  });
});
