// The issuer's keys in the hands of operators: the real command line against a real gateway and its issuer.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { startCli } from "../fixtures/cli-process.ts";
import { startIssuingGateway } from "../fixtures/issuing-gateway.ts";
import { call, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

async function cordon(g: TestGateway, key: string, ...args: string[]) {
  const cli = startCli(args, { CORDON_CONTROL_URL: g.control, CORDON_OPERATOR_KEY: key });
  return { code: await cli.exited, out: cli.stdout(), error: cli.stderr() };
}

suite("the issuer's keys in the hands of operators", () => {
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

  test("a gateway without an issuer of its own says so", async (t) => {
    const g = await startTestGateway();
    t.after(() => g.close());
    const answer = await cordon(g, g.operatorKey, "keys", "list");
    assert.equal(answer.code, 1);
    assert.match(answer.error, /This gateway has no issuer of its own; configure `broker`/);
  });
});
