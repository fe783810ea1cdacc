// docs/agents.md, "Any OAuth client": the same requests, by a client that this project did not write, and by curl.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import * as openid from "openid-client";
import { assertClient } from "../../src/agent/client-assertion.ts";
import { createDpopProof } from "../../src/agent/create-dpop-proof.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { APPLICATION, EXCHANGE_GRANT, LAUNCH_TOKEN } from "../fixtures/agent-broker.ts";
import { CANDIDATE, startAgentGateway } from "../fixtures/agent-gateway.ts";

const LIMIT = { timeout: 60_000 };

test("openid-client spawns an agent from a launch token, and reads through the gateway with it", LIMIT, async (t) => {
  const { g, issuer, launch } = await startAgentGateway(t);
  const config = await openid.discovery(new URL(issuer), `${APPLICATION}.agents`, undefined, openid.None(), {
    algorithm: "oauth2",
    execute: [openid.allowInsecureRequests],
  });
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("ES256"));
  const parameters = { subject_token: await launch(), subject_token_type: LAUNCH_TOKEN };
  const answer = await openid.genericGrantRequest(config, EXCHANGE_GRANT, parameters, { DPoP });
  assert.equal(answer.token_type, "dpop");
  assert.equal(answer["agent_id"], `spiffe://acme.example/agent/hiring/rank-j42/${await DPoP.calculateThumbprint()}`);
  const url = new URL(CANDIDATE, g.url);
  const read = await openid.fetchProtectedResource(config, answer.access_token, url, "GET", undefined, undefined, {
    DPoP,
  });
  assert.equal(read.status, 200);
});

test("the page's curl commands launch, spawn, call and release an agent as they are written", LIMIT, async (t) => {
  const { g, issuer, orchestratorKey } = await startAgentGateway(t);
  const key = createKey();
  const page = readFileSync(join(packageRoot(), "docs/agents.md"), "utf8").split("## Any OAuth client")[1] ?? "";
  const blocks = [...page.matchAll(/```sh\n(.*?)```/gs)].map((match) => match[1] ?? "");
  const [launching, spawning, calls = ""] = blocks;
  const [calling, releasing] = calls.trim().split("\n");
  const client = { issuer, clientId: APPLICATION, key: orchestratorKey };
  const environment: Record<string, string> = { ISSUER: issuer, GATEWAY: g.url };

  const run = async (script: string | undefined, more: Record<string, string>) => {
    assert.ok(script);
    const shown = script.replaceAll(/^curl /gm, "curl --silent --show-error --include --max-time 30 ");
    const env = { ...process.env, ...environment, ...more };
    const { stdout, stderr } = await promisify(execFile)("sh", ["-c", shown], { env });
    const [head = "", body = ""] = stdout.split("\r\n\r\n");
    const nonce = /^dpop-nonce: (.*)$/im.exec(head)?.[1]?.trim();
    return { status: Number(head.split(" ")[1]), nonce, body, stderr };
  };
  /** As the page says: the first proof is answered with a nonce, the next one has it. */
  const prove = async (script: string | undefined, url: string, method: string, accessToken?: string) => {
    const name = accessToken === undefined ? "PROOF" : "PROOF_WITH_ATH";
    const first = await run(script, { [name]: createDpopProof({ key, method, url, accessToken }) });
    if (first.nonce === undefined || first.status < 400) return first;
    return run(script, { [name]: createDpopProof({ key, method, url, accessToken, nonce: first.nonce }) });
  };

  const launched = await run(launching, { ASSERTION: assertClient(client)["client_assertion"] ?? "" });
  assert.equal(launched.status, 200, launched.body + launched.stderr);
  environment["LAUNCH_TOKEN"] = JSON.parse(launched.body).access_token;
  const spawned = await prove(spawning, `${issuer}/token`, "POST");
  assert.equal(spawned.status, 200, spawned.body + spawned.stderr);
  const accessToken: string = JSON.parse(spawned.body).access_token;
  environment["ACCESS_TOKEN"] = accessToken;
  const target = `${g.url}/ats/jobs/J42/candidates/C1`;
  assert.equal((await prove(calling, target, "GET", accessToken)).status, 200);
  assert.equal((await prove(releasing, `${issuer}/release`, "POST", accessToken)).status, 204);
  assert.equal((await prove(calling, target, "GET", accessToken)).status, 401);
});
