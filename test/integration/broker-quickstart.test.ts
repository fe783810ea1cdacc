// The quickstart as it is written: its configuration, its keys, its issuer, and `cordon call` against them.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { createRemoteJWKSet, EmbeddedJWK, jwtVerify } from "jose";
import { parse } from "yaml";
import { ensureQuickstartKeys } from "../../src/agent/quickstart-keys.ts";
import { startBroker } from "../../src/broker/start-broker.ts";
import { readClockBase } from "../../src/lib/clock.ts";
import { register } from "../../src/cli/call-command.ts";
import { configSchema } from "../../src/config/schema.ts";
import { freePort } from "../../examples/demo/free-ports.ts";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const readConfig = (file: string) => configSchema.parse(parse(readFileSync(file, "utf8")));

/** A folder as `cordon quickstart` may lay it out: a copy of the configuration inside the data folder. */
async function startQuickstart(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "cordon-quickstart-"));
  const file = join(folder, "data", "quickstart", "cordon.yaml");
  mkdirSync(dirname(file), { recursive: true });
  cpSync(join(examples, "quickstart", "cordon.yaml"), file);
  const config = readConfig(file);
  assert.ok(config.broker);
  const dataFolder = resolve(dirname(file), config.data_folder);
  assert.equal(dataFolder, join(folder, "data"));
  const absolute = <T extends { readonly jwks: string }>(owner: T) => ({
    ...owner,
    jwks: resolve(dirname(file), owner.jwks),
  });
  const clients = config.broker.clients.map(absolute);
  const applications = config.broker.applications.map(absolute);
  ensureQuickstartKeys(join(dataFolder, "quickstart"), [
    ...clients.map((client) => client.client_id),
    ...applications.map((application) => application.name),
  ]);

  const gateway = await startFakeGateway(t);
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const broker = await startBroker({
    broker: { ...config.broker, issuer, port, clients, applications },
    publicOrigins: [gateway.url],
    dataFolder,
    clock: readClockBase(),
    assertionsFromMs: Math.floor(Date.now() / 1000) * 1000 - 1,
    onLog: () => undefined,
    onFeed: async () => undefined,
    onExit: (error) => assert.fail(error),
  });
  t.after(async () => {
    await broker.close();
    rmSync(folder, { recursive: true });
  });
  return { gateway, issuer, key: join(dataFolder, "quickstart", "hiring-agent.jwk") };
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly authorization: string;
  readonly proof: string;
  readonly body: string;
}

async function startFakeGateway(t: TestContext) {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      calls.push({
        method: request.method ?? "",
        path: request.url ?? "",
        authorization: request.headers.authorization ?? "",
        proof: String(request.headers["dpop"]),
        body: Buffer.concat(chunks).toString(),
      });
      if (request.url === "/denied") {
        response.writeHead(403, { "content-type": "application/problem+json" }).end('{"code":"access_denied"}');
      } else response.writeHead(200, { "x-marker": "here" }).end("plain \u001b[31mtext");
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => new Promise((done) => server.close(done)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

async function cordon(t: TestContext, ...args: string[]) {
  const lines: string[] = [];
  const out = t.mock.method(console, "log", (line: string) => lines.push(line));
  const errors = t.mock.method(console, "error", (line: string) => lines.push(line));
  const program = new Command().exitOverride();
  register(program);
  await program.parseAsync(["call", ...args], { from: "user" });
  out.mock.restore();
  errors.mock.restore();
  const code = process.exitCode;
  process.exitCode = undefined;
  return { code, text: lines.join("\n") };
}

test("every example configuration fits the schema", () => {
  for (const name of ["quickstart", "production"]) readConfig(join(examples, name, "cordon.yaml"));
});

test("`cordon call` reaches the gateway with a token of the quickstart's agent and a proof by its key", async (t) => {
  const { gateway, issuer, key } = await startQuickstart(t);
  const url = `${gateway.url}/ats/jobs/J42/candidates/C1/score?x=1`;
  const { code, text } = await cordon(t, url, "-d", '{"score": 8}', "--key", key, "--issuer", issuer, "--show-headers");
  assert.equal(code, 0);
  assert.match(text, /^200 OK\n/);
  assert.match(text, /x-marker: here/);
  assert.ok(!text.includes("\u001b"), "a terminal escape of the tool is not printed");

  const [call] = gateway.calls;
  assert.ok(call);
  assert.deepEqual(
    [call.method, call.path, call.body],
    ["POST", "/ats/jobs/J42/candidates/C1/score?x=1", '{"score": 8}'],
  );
  const token = call.authorization.replace(/^DPoP /, "");
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  const { payload } = await jwtVerify(token, keys, { audience: gateway.url, typ: "at+jwt" });
  const { payload: proof } = await jwtVerify(call.proof, EmbeddedJWK, { typ: "dpop+jwt" });
  assert.equal(proof["htu"], `${gateway.url}/ats/jobs/J42/candidates/C1/score`);
  assert.match(String(payload.sub), /^spiffe:\/\/acme\.example\/agent\/hiring\/rank-j42\//);
  assert.equal(payload["scope"], "read:candidates:J42 write:scores:J42");
});

test("`cordon call` shows a refusal and exits with 1", async (t) => {
  const { gateway, issuer, key } = await startQuickstart(t);
  const { code, text } = await cordon(t, `${gateway.url}/denied`, "--key", key, "--issuer", issuer);
  assert.equal(code, 1);
  assert.match(text, /^403 Forbidden\n\{\n {2}"code": "access_denied"\n\}$/);
});

test("`cordon call` says what is wrong and how to mend it, and exits with 2", async (t) => {
  const { gateway, issuer, key } = await startQuickstart(t);
  const dead = `http://127.0.0.1:${await freePort()}`;
  const cases: [string[], RegExp][] = [
    [["not-a-url"], /is not a URL; write for example/],
    [[gateway.url, "-d", "{", "--key", key], /is not JSON/],
    [[gateway.url, "--client", "nobody"], /There is no key file .*nobody\.jwk\.\n.*npm start/],
    [[gateway.url, "--key", key, "--issuer", dead], /cannot be reached; is it running/],
    [[gateway.url, "--key", key, "--issuer", issuer, "--scope", "read:salaries:J42"], /invalid_scope/],
    [["http://127.0.0.1:1/", "--key", key, "--issuer", issuer], /invalid_target/],
  ];
  for (const [args, expected] of cases) {
    const { code, text } = await cordon(t, ...args);
    assert.equal(code, 2, text);
    assert.match(text, expected);
  }
  assert.equal(gateway.calls.length, 0);
});
