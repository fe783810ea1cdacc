// In: nothing. Out: opa v1.22.2 on PATH or in .tools/bin, built with Go where it is missing.
// Plain JavaScript for Node 20 and newer, since it runs before the project's own runtime is there.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSION = "1.22.2";
/** Compiling takes about a minute; a slow machine may need several. */
const BUILD_TIMEOUT_MS = 600_000;
const root = fileURLToPath(new URL("../", import.meta.url));
const bin = join(root, ".tools", "bin");
const suffix = process.platform === "win32" ? ".exe" : "";

function fits(file) {
  if (!existsSync(file)) return false;
  const { status, stdout } = spawnSync(file, ["version"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 && stdout.split("\n").includes(`Version: ${VERSION}`);
}

function build() {
  if (spawnSync("go", ["version"], { timeout: 10_000 }).status !== 0) return false;
  console.log(`Building opa ${VERSION} once, for policy edits and their tests (about a minute) ...`);
  mkdirSync(bin, { recursive: true });
  const { status, stderr } = spawnSync("go", ["install", `github.com/open-policy-agent/opa@v${VERSION}`], {
    cwd: bin,
    env: { ...process.env, GOBIN: bin, GOFLAGS: "-mod=mod" },
    encoding: "utf8",
    timeout: BUILD_TIMEOUT_MS,
  });
  if (status === 0) return true;
  console.log(`opa ${VERSION} could not be built: ${(stderr ?? "").trim().split("\n").at(-1) ?? ""}`);
  return false;
}

const found = [bin, ...(process.env.PATH ?? "").split(delimiter)]
  .filter((folder) => folder !== "")
  .some((folder) => fits(join(folder, `opa${suffix}`)));
// `--quiet`: nothing to say where the tests themselves name what they could not run.
const quiet = process.argv.includes("--quiet");
if (!found && !build()) {
  if (!quiet || process.env.CI === "true")
    console.log(
      `opa ${VERSION} is missing: the committed policy bundle is used, and policy edits and their tests need opa or Go.`,
    );
  if (process.env.CI === "true") process.exitCode = 1;
}
