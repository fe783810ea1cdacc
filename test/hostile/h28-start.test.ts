// H28: a start that cannot work. One clear line on standard error, and exit code 2; what runs already is not disturbed.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { parse, stringify } from "yaml";
import { freePort } from "../../examples/demo/free-ports.ts";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

async function start(
  config: string,
  env: Record<string, string> = {},
): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, "start", "--config", config], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stderr };
}

/** Lines for the operator; the gateway's own log is JSON. */
const spoken = (stderr: string): string[] => stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));

describe("H28 a start that cannot work", () => {
  let g: TestGateway;
  let folder: string;
  let squatter: Server;
  let taken: number;
  before(async () => {
    g = await startTestGateway();
    folder = mkdtempSync(path.join(tmpdir(), "cordon-h28-"));
    squatter = createServer();
    squatter.listen(0, "127.0.0.1");
    await once(squatter, "listening");
    taken = (squatter.address() as { port: number }).port;
  });
  after(async () => {
    await g.close();
    squatter.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The configuration of the running gateway, changed. */
  function configWith(change: (settings: Record<string, unknown>) => void): string {
    const settings = parse(readFileSync(path.join(g.folder, "cordon.yaml"), "utf8")) as Record<string, unknown>;
    // A folder of its own: a restart on the last one would wait until no proof from before is accepted.
    settings["data_folder"] = mkdtempSync(path.join(folder, "data-"));
    settings["issuers"] = (settings["issuers"] as Record<string, unknown>[]).map((one) => ({
      ...one,
      jwks: { file: path.join(g.folder, "jwks.json") },
    }));
    change(settings);
    const file = path.join(folder, "cordon.yaml");
    writeFileSync(file, stringify(settings));
    return file;
  }
  const on = (settings: Record<string, unknown>, port: number, threads = 1): void => {
    settings["listeners"] = [{ name: "traffic", port }];
    settings["threads"] = threads;
  };

  for (const threads of [1, 2]) {
    test(`H28 a traffic port in use ends a start with ${threads} thread(s) with one line that names it, and code 2`, async () => {
      const { code, stderr } = await start(configWith((settings) => on(settings, taken, threads)));
      assert.equal(code, 2, stderr);
      const lines = spoken(stderr);
      assert.equal(lines.length, 1, stderr);
      assert.match(lines[0] ?? "", new RegExp(`^cordon: .*${taken}.*in use`));
    });
  }

  test("H28 a control port in use ends the start in the same way", async () => {
    const port = await freePort();
    const file = configWith((settings) => {
      on(settings, port);
      settings["admin"] = { port: taken };
    });
    const { code, stderr } = await start(file);
    assert.equal(code, 2, stderr);
    assert.equal(spoken(stderr).length, 1, stderr);
    assert.match(spoken(stderr)[0] ?? "", new RegExp(`${taken}.*in use`));
  });

  test("H28 a second gateway on the data folder of a running one is refused, and the first one goes on", async () => {
    const port = await freePort();
    const file = configWith((settings) => {
      on(settings, port);
      settings["data_folder"] = path.join(g.folder, "data");
    });
    const { code, stderr } = await start(file);
    assert.equal(code, 2, stderr);
    assert.equal(spoken(stderr).length, 1, stderr);
    assert.match(spoken(stderr)[0] ?? "", /another gateway runs on the data folder/);
    const agent = await g.agent();
    assert.equal((await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`)).status, 200);
  });

  test("H28 a policy bundle that is none ends the start with one line and code 2", async () => {
    const port = await freePort();
    writeFileSync(path.join(folder, "bad.tar.gz"), "no bundle");
    const file = configWith((settings) => {
      on(settings, port);
      settings["policy"] = { bundle: path.join(folder, "bad.tar.gz") };
    });
    const { code, stderr } = await start(file);
    assert.equal(code, 2, stderr);
    assert.equal(spoken(stderr).length, 1, stderr);
    assert.match(spoken(stderr)[0] ?? "", /bundle/);
  });
});

test("H28 a Node that is too old is told so in one clear line, exit code 2", () => {
  const pretend = 'Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.1.0"}})';
  const bin = fileURLToPath(new URL("../../bin/cordon.js", import.meta.url));
  const result = spawnSync(process.execPath, ["--import", `data:text/javascript,${pretend}`, bin, "--help"], {
    encoding: "utf8",
  });
  assert.deepEqual(
    [result.status, result.stdout, result.stderr],
    [2, "", "cordon: this is Node 20.1.0; Cordon needs Node 24 or newer\n"],
  );
});
