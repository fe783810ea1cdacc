// Every configuration under examples/ is started by the real command line, answers, and drains at a signal.
import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import { packageRoot } from "../../src/lib/package-root.ts";
import { issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { startCli } from "../fixtures/cli-process.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { call } from "../fixtures/test-gateway.ts";

const examples = path.join(packageRoot(), "examples");

describe("the example configurations", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-examples-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("there is a test here for each of them", () => {
    const configured = readdirSync(examples, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith("cordon.yaml"),
    );
    assert.deepEqual(configured.toSorted(), [
      "issuers/cordon.yaml",
      "production/cordon.yaml",
      "quickstart/cordon.yaml",
    ]);
  });

  test("the quickstart starts, `cordon call` reads a candidate, so does a launched agent's curl, `cordon block` ends that, and Ctrl-C drains", async () => {
    const data = path.join(folder, "quickstart-data");
    const [traffic, issuer, control, tool, monitor] = await Promise.all(Array.from({ length: 5 }, freePort));
    const env = {
      CORDON_DATA_FOLDER: data,
      CORDON_PORT: String(traffic),
      CORDON_ISSUER_PORT: String(issuer),
      CORDON_CONTROL_PORT: String(control),
    };
    // The operator's own copy is used as it is; here it names free ports for the tools.
    mkdirSync(path.join(data, "quickstart"), { recursive: true });
    const text = readFileSync(path.join(examples, "quickstart", "cordon.yaml"), "utf8");
    writeFileSync(
      path.join(data, "quickstart", "cordon.yaml"),
      text.replaceAll("../../data", "..").replace("8090", String(tool)).replace("8091", String(monitor)),
    );
    const gateway = startCli(["quickstart"], env);
    await gateway.printed("Ctrl-C drains and stops.");
    assert.equal(statSync(path.join(data, "operator.key")).mode & 0o777, 0o600);

    const url = `http://127.0.0.1:${traffic}/ats/jobs/J42/candidates/C1`;
    const read = startCli(["call", url], env);
    assert.equal(await read.exited, 0, read.stderr());
    assert.match(read.stdout(), /Ada Byron/);
    assert.doesNotMatch(read.stdout(), /salary/);
    const salary = startCli(["call", `${url}/salary`], env);
    assert.equal(await salary.exited, 1);

    const launchFile = path.join(folder, "launch-token");
    const forTask = ["--task", "rank-j42", "--purpose", "rank-candidates", "--principal", "user:recruiter_alice"];
    const launch = (scope: string): Promise<number | null> =>
      startCli(["launch", ...forTask, "--scope", scope, "--constraint", "job_id=J42", "--out", launchFile], env).exited;
    assert.equal(await launch("read:salaries:J42"), 1, "beyond the ceiling");
    assert.equal(await launch("read:candidates:J42 write:scores:J42"), 0);
    assert.equal(statSync(launchFile).mode & 0o777, 0o600);
    assert.equal(await launch("read:candidates:J42"), 2, "never over a file that is there");
    const program = ["sh", "-c", 'curl -sS "$CORDON_BASE_URL/ats/jobs/J42/candidates/C1"'];
    const agentOf = ["--issuer", `http://127.0.0.1:${issuer}`, "--launch-token-file", launchFile];
    const sidecar = startCli(["agent", ...agentOf, "--", ...program], env);
    assert.equal(await sidecar.exited, 0, sidecar.stderr());
    assert.match(sidecar.stdout(), /Ada Byron/);

    const task = "spiffe://acme.example/agent/hiring/rank-j42";
    const block = startCli(
      ["block", "task", task, "--reason", "a test", "--key-file", path.join(data, "operator.key")],
      env,
    );
    assert.equal(await block.exited, 0, block.stderr());
    const refused = startCli(["call", url], env);
    assert.equal(await refused.exited, 1);
    assert.match(refused.stdout() + refused.stderr(), /blocked/);

    gateway.child.kill("SIGINT");
    assert.equal(await gateway.exited, 0);
    assert.match(gateway.stdout(), /Stopped\.\n$/);
    assert.match(gateway.stderr(), /^warn: issuer: token_refused .*scope_beyond_ceiling: read:salaries:J42"\n$/);
  });

  test("the production example starts with TLS, refuses the unproven, and writes its access log to standard output", async () => {
    const own = path.join(folder, "production");
    for (const part of ["tls", "secrets"]) mkdirSync(path.join(own, part), { recursive: true });
    const write = (name: string, content: string): void => writeFileSync(path.join(own, name), content);
    const [ca, agents] = [makeCa("Tools"), makeCa("Agents")];
    const server = issueCertificate(ca, { dns: ["gateway.acme.example"], ip: ["127.0.0.1"] });
    const client = issueCertificate(ca, { dns: ["gateway.acme.example"], clientAuth: true });
    write("tls/gateway.crt", server.certificate);
    write("tls/gateway.key", server.key);
    write("tls/agents-ca.crt", agents.certificate);
    write("tls/tools-ca.crt", ca.certificate);
    write("tls/gateway-client.crt", client.certificate);
    write("tls/gateway-client.key", client.key);
    write("secrets/ats-token", "tool-token\n");
    // Only on loopback here; everything else is the example as it stands.
    const text = readFileSync(path.join(examples, "production", "cordon.yaml"), "utf8");
    write("cordon.yaml", text.replace("address: 0.0.0.0", "address: 127.0.0.1"));
    const [traffic, control] = await Promise.all([freePort(), freePort()]);
    const gateway = startCli(["start", "--config", path.join(own, "cordon.yaml")], {
      CORDON_PORT: String(traffic),
      CORDON_CONTROL_PORT: String(control),
    });
    await gateway.printed('"message":"ready"');
    assert.equal((await call(`http://127.0.0.1:${control}/readyz`)).status, 200);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(
        {
          host: "127.0.0.1",
          port: traffic,
          path: "/ats/jobs/J42/candidates/C1",
          ca: ca.certificate,
          agent: false,
          headers: { host: "gateway.acme.example:8443" },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      )
        .on("error", reject)
        .end();
    });
    assert.equal(status, 401);
    await gateway.printed('"reason":"credentials.missing"');
    gateway.child.kill("SIGTERM");
    assert.equal(await gateway.exited, 0, gateway.stderr());
    const [line] = gateway.stdout().split("\n");
    assert.equal((JSON.parse(line ?? "") as { status: number }).status, 401);
  });

  test("the example of other issuers starts with its bundle, and serves a JWT-SVID on the connection of its X.509-SVID", async () => {
    const own = path.join(folder, "issuers");
    for (const part of ["tls", "spiffe"]) mkdirSync(path.join(own, part), { recursive: true });
    const write = (name: string, content: string): void => writeFileSync(path.join(own, name), content);
    const workloads = makeCa("Workloads");
    const server = issueCertificate(makeCa("The gateway's"), { dns: ["gateway.acme.example"] });
    write("tls/gateway.crt", server.certificate);
    write("tls/gateway.key", server.key);
    write("tls/workloads-ca.crt", workloads.certificate);
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const x5c = [new X509Certificate(workloads.certificate).raw.toString("base64")];
    const keys = [
      { use: "x509-svid", x5c },
      { ...publicKey.export({ format: "jwk" }), use: "jwt-svid", kid: "1" },
    ];
    write("spiffe/workloads.example.json", JSON.stringify({ keys, spiffe_sequence: 1 }));
    copyFileSync(path.join(examples, "issuers", "cordon.yaml"), path.join(own, "cordon.yaml"));
    const [traffic, control] = await Promise.all([freePort(), freePort()]);
    const gateway = startCli(["start", "--config", path.join(own, "cordon.yaml")], {
      CORDON_PORT: String(traffic),
      CORDON_CONTROL_PORT: String(control),
    });
    await gateway.printed('"message":"ready"');
    const id = "spiffe://workloads.example/ns/hiring/sa/ranker";
    const svid = issueCertificate(workloads, { uri: [id], clientAuth: true });
    const token = await new SignJWT()
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .setSubject(id)
      .setAudience("https://gateway.acme.example:8443")
      .setExpirationTime("5m")
      .sign(privateKey);
    const ask = (client: object): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = { host: "gateway.acme.example:8443", authorization: `Bearer ${token}` };
        const to = { host: "127.0.0.1", port: traffic, path: "/ats/jobs/J42/candidates/C1" };
        request({ ...to, agent: false, rejectUnauthorized: false, headers, ...client }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
    assert.equal(await ask({}), 401);
    // Proven, and then judged: the policy that ships with Cordon knows no such workload.
    assert.equal(await ask({ cert: svid.certificate, key: svid.key }), 403);
    gateway.child.kill("SIGTERM");
    assert.equal(await gateway.exited, 0, gateway.stderr());
  });
});

test("a configuration with problems ends with exit code 2 and names each of them", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-problems-"));
  const file = path.join(folder, "cordon.yaml");
  copyFileSync(path.join(examples, "production", "cordon.yaml"), file);
  const gateway = startCli(["start", "--config", file]);
  assert.equal(await gateway.exited, 2);
  for (const missing of ["listeners[0].tls.certificate", "routes[0].upstream.credential.from"]) {
    assert.ok(gateway.stderr().includes(missing), gateway.stderr());
  }
  rmSync(folder, { recursive: true, force: true });
});
