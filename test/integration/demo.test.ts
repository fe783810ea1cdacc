// The demo as a user runs it: every step agrees, and nothing of it is left behind.
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";

const STEP_IDS = [
  "token",
  "read",
  "salary",
  "stolen-token",
  "replay",
  "launch",
  "spawn",
  "renew",
  "delegate",
  "lineage",
  "revoke-chain",
  "sidecar",
  "mcp",
  "mcp-argument",
  "mcp-redact",
  "mcp-budget",
  "stream-revoked",
  "mcp-taint",
  "mcp-drift",
  "policy-edit",
  "job-closes",
  "quarantine",
  "drain",
  "block",
  "logs",
];

type Demo = ChildProcessByStdio<null, Readable, Readable>;

/** Runs the demo with a folder for temporary files of its own, so that what it leaves is seen. */
function startDemo(t: TestContext): { demo: Demo; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "cordon-demo-test-"));
  const demo = spawn(process.execPath, ["examples/demo/main.ts", "--json"], {
    cwd: packageRoot(import.meta.url),
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(async () => {
    // By SIGTERM, which the demo passes on to its own children.
    if (demo.exitCode === null && demo.signalCode === null && demo.kill("SIGTERM")) await once(demo, "exit");
    rmSync(folder, { recursive: true, force: true });
  });
  return { demo, folder };
}

test("the demo plays every step as expected and leaves nothing behind", { timeout: 110_000 }, async (t) => {
  const { demo, folder } = startDemo(t);
  const ended = once(demo, "exit");
  const [stdout, stderr] = await Promise.all([text(demo.stdout), text(demo.stderr)]);
  const { steps } = JSON.parse(stdout) as { steps: Record<string, unknown>[] };
  assert.deepEqual(
    steps.filter(({ ok }) => ok !== true),
    [],
    stderr,
  );
  assert.deepEqual(
    steps.map(({ id }) => id),
    STEP_IDS,
  );
  for (const step of steps) assert.deepEqual(Object.keys(step), ["id", "title", "expected", "got", "ok"]);
  assert.deepEqual(await ended, [0, null]);
  assert.equal(stderr, "");
  assert.deepEqual(readdirSync(folder), []);
  const skipped = steps.filter(({ got }) => String(got).startsWith("not run"));
  for (const { title, got } of skipped) t.diagnostic(`${String(title)} ${String(got)}`);
});

test("a demo that is stopped half way ends its children and removes its folder", { timeout: 60_000 }, async (t) => {
  const { demo, folder } = startDemo(t);
  const port = await controlPort(folder);
  demo.kill("SIGTERM");
  const [code] = (await once(demo, "exit")) as [number | null];
  assert.equal(code, 143);
  assert.deepEqual(readdirSync(folder), []);
  // The end of a killed process may come a moment later; one that lives on fails the test by its timeout.
  while (await answers(port)) await new Promise((resolve) => setTimeout(resolve, 50));
});

/** The port of the operators' API, once it answers. */
async function controlPort(folder: string): Promise<string> {
  for (;;) {
    const [name] = readdirSync(folder).filter((entry) => entry.startsWith("cordon-demo-"));
    const port = name === undefined ? undefined : portIn(join(folder, name, "cordon.yaml"));
    if (port !== undefined && (await answers(port))) return port;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function answers(port: string): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
  await answer?.body?.cancel();
  return answer !== undefined;
}

function portIn(file: string): string | undefined {
  try {
    return /^admin:\n {2}port: (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1];
  } catch {
    return undefined; // not written yet
  }
}
