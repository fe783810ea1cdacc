// In: a folder of Rego, a data file, or paths to watch. Out: bundle bytes, checked data, or a call at each change.
// Trusts: the operator's folder; `opa` runs bounded, on a private copy, with the built-ins that Cordon provides.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { packageRoot } from "../lib/package-root.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { DECISION_ENTRYPOINT } from "../policy/parse-bundle.ts";
import { locateOpa } from "./opa.ts";

export const CAPABILITIES_FILE = join(packageRoot(), "policies", "capabilities.json");

/** Built where the folder has them. */
const OPTIONAL_ENTRYPOINTS = ["cordon/visible", "cordon/response"];
const OPA_TIMEOUT_MS = 60_000;
const OPA_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
const SOURCE_BYTES_MAX = 64 * 1024 * 1024;
const SOURCE_FILES_MAX = 4096;
const DATA_BYTES_MAX = 64 * 1024 * 1024;
/** Editors write a file in several steps; a change is reported once they have been quiet for this long. */
const DEBOUNCE_MS = 50;
/** Some file systems report no events. */
const POLL_MS = 2000;

export interface OpaRun {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs `opa` with a time and output limit. Never rejects. */
export function runOpa(opa: string, args: readonly string[], folder: string): Promise<OpaRun> {
  return new Promise((resolve) => {
    execFile(
      opa,
      [...args],
      { cwd: folder, timeout: OPA_TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: OPA_OUTPUT_BYTES_MAX },
      (cause, stdout, stderr) => {
        const text = [stdout, stderr].map((part) => part.trim()).filter((part) => part !== "");
        if (cause?.killed === true) text.push(`opa ${args[0]} was stopped: it took too long or said too much`);
        resolve({ ok: cause === null, output: text.join("\n") });
      },
    );
  });
}

const isSource = (name: string): boolean => name.endsWith(".rego") || name === "data.json" || name === "data.yaml";

type Sources = ReadonlyMap<string, Uint8Array>;

async function readSources(folder: string): Promise<Result<Sources, string>> {
  const files = new Map<string, Uint8Array>();
  let bytes = 0;
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile() && isSource(entry.name))
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .filter((path) => !path.split(/[\\/]/).some((part) => part.startsWith(".") || part === "node_modules"));
    if (paths.length > SOURCE_FILES_MAX) return err(`${folder} has more than ${SOURCE_FILES_MAX} policy files`);
    for (const path of paths.sort()) {
      const content = await readFile(join(folder, path));
      bytes += content.length;
      if (bytes > SOURCE_BYTES_MAX) return err(`${folder} holds more than ${SOURCE_BYTES_MAX} bytes of policy`);
      files.set(path, content);
    }
  } catch (cause) {
    return err(`${folder} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  return files.size === 0 ? err(`${folder} has no .rego files`) : ok(files);
}

const isTest = (path: string): boolean => path.endsWith("_test.rego");

/** What was built: the content of all that goes in, so that the same sources always have the same revision. */
function revisionOf(sources: Sources): string {
  const hash = createHash("sha256");
  for (const [path, content] of sources) if (!isTest(path)) hash.update(`${path}\0${content.length}\0`).update(content);
  return hash.digest("hex").slice(0, 12);
}

/** Copies the policy files to a private folder, so that an edit half way cannot mix two versions; removed afterwards. */
export async function withSnapshot<T>(
  folder: string,
  use: (copy: string, sources: Sources) => Promise<Result<T, string>>,
): Promise<Result<T, string>> {
  const sources = await readSources(folder);
  if (!sources.ok) return sources;
  const work = await mkdtemp(join(tmpdir(), "cordon-policy-"));
  try {
    const copy = join(work, "policies");
    for (const [path, content] of sources.value) {
      await mkdir(dirname(join(copy, path)), { recursive: true });
      await writeFile(join(copy, path), content);
    }
    return await use(copy, sources.value);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Whether a module has the rule, or is the package, of an entry point such as `cordon/visible`. */
function declares(module: string, entrypoint: string): boolean {
  const [root = "", name = ""] = entrypoint.split("/");
  if (new RegExp(`^package ${root}\\.${name}\\s*$`, "m").test(module)) return true;
  return (
    new RegExp(`^package ${root}\\s*$`, "m").test(module) && new RegExp(`^(?:default )?${name}\\b`, "m").test(module)
  );
}

/** `opa check --strict`, then `opa test`, then `opa build`. The error is opa's own text. */
export async function buildFromSource(
  folder: string,
  options: { readonly test?: boolean } = {},
): Promise<Result<Uint8Array, string>> {
  const opa = await locateOpa();
  if (!opa.ok) return opa;
  return withSnapshot(folder, async (copy, sources) => {
    const checked = await runOpa(opa.value, ["check", "--strict", "--capabilities", CAPABILITIES_FILE, "."], copy);
    if (!checked.ok) return err(checked.output);
    if (options.test !== false && [...sources.keys()].some(isTest)) {
      const tested = await runOpa(opa.value, ["test", "--capabilities", CAPABILITIES_FILE, "."], copy);
      if (!tested.ok) return err(tested.output);
    }
    const out = join(dirname(copy), "bundle.tar.gz");
    const modules = [...sources.values()].map((content) => Buffer.from(content).toString("utf8"));
    const optional = OPTIONAL_ENTRYPOINTS.filter((name) => modules.some((module) => declares(module, name)));
    const entrypoints = [DECISION_ENTRYPOINT, ...optional].flatMap((name) => ["-e", name]);
    // No `-O`: an optimised build may fold data into code, and data must stay replaceable on its own.
    const args = ["build", "-t", "wasm", ...entrypoints, "--capabilities", CAPABILITIES_FILE];
    const built = await runOpa(
      opa.value,
      [...args, "--ignore", "*_test.rego", "-r", revisionOf(sources), "-o", out, "."],
      copy,
    );
    return built.ok ? ok(await readFile(out)) : err(built.output);
  });
}

export interface PolicyData {
  /** The `data` document, JSON text of an object. */
  readonly dataJson: string;
  /** SHA-256 of the text as written again by JSON.stringify with sorted keys, first 12 hex digits. */
  readonly revision: string;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, part]) => [key, sorted(part)]),
  );
}

/** Checks a data document. The error is a sentence for the operator. */
export function parsePolicyData(text: string): Result<PolicyData, string> {
  if (Buffer.byteLength(text) > DATA_BYTES_MAX) return err(`the data is larger than ${DATA_BYTES_MAX} bytes`);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return err("the data is not a JSON object");
    const dataJson = JSON.stringify(sorted(value));
    return ok({ dataJson, revision: createHash("sha256").update(dataJson).digest("hex").slice(0, 12) });
  } catch (cause) {
    return err(`the data is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

export async function readPolicyData(file: string): Promise<Result<PolicyData, string>> {
  try {
    if ((await stat(file)).size > DATA_BYTES_MAX) return err(`${file} is larger than ${DATA_BYTES_MAX} bytes`);
    return parsePolicyData(await readFile(file, "utf8"));
  } catch (cause) {
    return err(`${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function fingerprint(path: string): Promise<string> {
  try {
    const info = await stat(path);
    if (!info.isDirectory()) return `${info.mtimeMs}:${info.size}:${info.ino}`;
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile() && isSource(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
    return (await Promise.all(files.sort().map(async (file) => `${file}=${await fingerprint(file)}`))).join("|");
  } catch {
    // Gone for the moment, as while an editor replaces a file: that is a state of its own.
    return "absent";
  }
}

/**
 * Calls `onChange` once after each burst of changes to the given files and folders.
 * A file is watched through its folder, since editors replace files; a slow poll finds what events missed.
 */
export function watchPolicy(paths: readonly string[], onChange: () => void): { close(): void } {
  const watchers: FSWatcher[] = [];
  let closed = false;
  let debounce: NodeJS.Timeout | undefined;
  let last: string | undefined;

  const look = async (): Promise<void> => {
    const seen = (await Promise.all(paths.map(fingerprint))).join("\n");
    if (closed) return;
    const changed = last !== undefined && seen !== last;
    last = seen;
    if (changed) onChange();
  };
  const soon = (): void => {
    clearTimeout(debounce);
    if (!closed) debounce = setTimeout(() => void look(), DEBOUNCE_MS);
  };
  const open = (path: string, recursive: boolean, only?: string): void => {
    try {
      const watcher = watch(path, { recursive, persistent: false }, (_event, name) => {
        if (only === undefined || name === null || name === only) soon();
      });
      watcher.on("error", () => watcher.close());
      watchers.push(watcher);
    } catch {
      // The poll covers paths that cannot be watched.
      return;
    }
  };

  const ready = look();
  void ready.then(async () => {
    for (const path of paths) {
      const info = await stat(path).catch(() => undefined);
      if (closed) return;
      if (info?.isDirectory() === true) open(path, true);
      else open(dirname(path), false, basename(path));
    }
    soon();
  });
  const poll = setInterval(() => void look(), POLL_MS);
  poll.unref();
  return {
    close() {
      closed = true;
      clearTimeout(debounce);
      clearInterval(poll);
      for (const watcher of watchers) watcher.close();
    },
  };
}
