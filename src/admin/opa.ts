// In: the environment's PATH and the project's folder. Out: where a fitting `opa` is, or how to get it.
// Trusts: the operator's PATH.
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../lib/package-root.ts";
import { err, ok, type Result } from "../lib/result.ts";

/** The release that the committed bundle is built with; another one may compile to other bytes. */
export const OPA_VERSION = "1.22.2";
const VERSION_TIMEOUT_MS = 10_000;

const fitting = new Map<string, boolean>();

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    // Absent or not ours to run: not a candidate.
    return false;
  }
}

async function fits(file: string): Promise<boolean> {
  const known = fitting.get(file);
  if (known !== undefined) return known;
  let answer = false;
  try {
    const { stdout } = await promisify(execFile)(file, ["version"], { timeout: VERSION_TIMEOUT_MS });
    answer = new RegExp(`^Version: ${OPA_VERSION.replaceAll(".", "\\.")}$`, "m").test(stdout);
  } catch {
    // Something else of that name.
    answer = false;
  }
  fitting.set(file, answer);
  return answer;
}

/** The path of `opa` v1.22.2 in `.tools/bin` or on PATH. The error is a sentence for the operator. */
export async function locateOpa(): Promise<Result<string, string>> {
  const folders = [join(packageRoot(), ".tools", "bin"), ...(process.env["PATH"] ?? "").split(delimiter)];
  for (const folder of folders) {
    const file = join(folder, process.platform === "win32" ? "opa.exe" : "opa");
    if (folder !== "" && isExecutable(file) && (await fits(file))) return ok(file);
  }
  return err(
    `opa ${OPA_VERSION} is not on PATH; install it from openpolicyagent.org, or run \`node scripts/ensure-opa.mjs\` where Go is installed`,
  );
}
