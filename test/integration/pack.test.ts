// The published package: packed, installed into an empty project, and run as plain JavaScript.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import { SOUND_CONFIG } from "../fixtures/sound-config.ts";

const root = packageRoot(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "cordon-pack-"));
after(() => rmSync(folder, { recursive: true }));

const AGENT_PROGRAM = `
import { createAgent, CordonError, type Agent, type Delegation } from "cordon/agent";
export async function rank(launchToken: string, thumbprint: string): Promise<Delegation> {
  await using agent: Agent = await createAgent({ issuer: "https://issuer.example", launchToken });
  const response: Response = await agent.fetch(new URL("/ats/jobs/J42", agent.origins[0]));
  if (!response.ok) throw new CordonError("usage", String(response.status));
  return agent.delegate({ delegateThumbprint: thumbprint, purpose: "read", scope: ["read:candidates:C1"] });
}
`;

function run(command: string, args: readonly string[], cwd: string) {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 110_000 });
  assert.equal(result.status, 0, `${command} ${args.join(" ")}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

test("the packed package runs `cordon` without a TypeScript loader", () => {
  run("npm", ["pack", "--silent", "--pack-destination", folder], root);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball);
  run("tar", ["-xzf", tarball], folder);
  const installed = join(folder, "project", "node_modules", "cordon");
  mkdirSync(dirname(installed), { recursive: true });
  cpSync(join(folder, "package"), installed, { recursive: true });

  // The production dependencies come from this checkout, so that the test needs no network.
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Record<string, { readonly dev?: boolean; readonly optional?: boolean }>;
  };
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (!/^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(path) || entry.dev === true || entry.optional === true) continue;
    const link = join(folder, "project", path);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, path), link);
  }

  const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
  const loaded = files.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
  assert.deepEqual(loaded, [], "only declarations are TypeScript");
  for (const file of [
    "policies/bundle.tar.gz",
    "docs/config.schema.json",
    "examples/quickstart/cordon.yaml",
    "LICENSE",
  ]) {
    assert.ok(files.includes(file), `${file} is in the package`);
  }

  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as { bin: { cordon: string } };
  const main = join(installed, manifest.bin.cordon);
  const project = join(folder, "project");
  assert.match(run(process.execPath, ["--no-strip-types", main, "--help"], project), /config/);
  writeFileSync(join(project, "cordon.yaml"), SOUND_CONFIG);
  const checked = run(process.execPath, ["--no-strip-types", main, "config", "check", "cordon.yaml"], project);
  assert.equal(checked, "OK: 1 listener, 1 route, 1 issuer\n");
  const script =
    'const agent = await import("cordon/agent/create-dpop-fetch"); console.log(typeof agent.createDpopFetch)';
  assert.equal(run(process.execPath, ["--input-type=module", "--eval", script], project), "function\n");
  const library = 'console.log(Object.keys(await import("cordon/agent")).join(" "))';
  assert.equal(
    run(process.execPath, ["--input-type=module", "--eval", library], project),
    "CordonError createAgent createDelegation createDpopFetch createDpopProof createKey createLauncher createOAuthFetch mcpTransportOptions parseKey\n",
  );

  // Its types must hold for a strict user of the package, who has the declarations alone.
  writeFileSync(join(project, "agent.ts"), AGENT_PROGRAM);
  const tsc = join(root, "node_modules", ".bin", "tsc");
  const types = ["--types", "node", "--typeRoots", join(root, "node_modules", "@types")];
  run(tsc, ["--strict", "--noEmit", "--target", "es2024", "--module", "nodenext", ...types, "agent.ts"], project);
});
