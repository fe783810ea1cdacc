// In: the configured bundle, Rego folder and data; their changes. Out: the policy in force, switched on every thread at once.
// A bad policy or bad data changes nothing: the pair is activated only after it was built, loaded, tested and timed together.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  buildFromSource,
  type PolicyData,
  parsePolicyData,
  readPolicyData,
  watchPolicy,
} from "../../admin/policy-source.ts";
import type { PolicyInfo } from "../../admin/control-plane.ts";
import type { Config } from "../../config/schema.ts";
import { packageRoot } from "../../lib/package-root.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { startBundleCheck } from "../../policy/check-thread.ts";
import type { LoadedPolicyMessage } from "../../policy/decision.ts";
import { parseBundle } from "../../policy/parse-bundle.ts";

export interface PolicyManager {
  readonly current: LoadedPolicyMessage | null;
  info(): PolicyInfo | null;
  /** Loads everything anew: the bundle or the Rego folder, and the data. */
  reload(by: string): Promise<Result<PolicyInfo, string>>;
  /** Replaces the data and keeps it in the data folder, so that a restart keeps it too. */
  putData(json: string, by: string): Promise<Result<PolicyInfo, string>>;
  /** Takes back what `putData` kept: the configured file's data, or the bundle's own, is in force again. */
  resetData(by: string): Promise<Result<PolicyInfo, string>>;
  close(): void;
}

/** A policy that does not answer its checks in this time is refused. */
const CHECK_DEADLINE_MS = 30_000;

export interface PolicyManagerOptions {
  readonly config: Config;
  /** Gives the policy to every thread; resolves when all have switched, or with what went wrong. */
  readonly activate: (policy: LoadedPolicyMessage) => Promise<Result<void, string>>;
  readonly onChange: (outcome: { by: string; info: PolicyInfo | null; error?: string }) => void;
}

interface ReadBundle {
  readonly sha256: string;
  /** As it was read: new data is checked together with it. */
  readonly bytes: Uint8Array;
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly revision: string;
  readonly dataJson: string;
}

interface BundleInForce extends ReadBundle {
  readonly module: WebAssembly.Module;
}

export async function createPolicyManager(options: PolicyManagerOptions): Promise<Result<PolicyManager, string>> {
  const { config, activate, onChange } = options;
  const { policy } = config;
  const source = policy.source ?? policy.bundle ?? path.join(packageRoot(), "policies", "bundle.tar.gz");
  const savedData = path.join(config.data_folder, "policy-data.json");
  let bundle: BundleInForce | undefined;
  let current: LoadedPolicyMessage | null = null;
  let info: PolicyInfo | null = null;
  // One change at a time: two builds at once could be activated in the wrong order.
  let queue: Promise<unknown> = Promise.resolve();

  function inTurn<T>(change: () => Promise<T>): Promise<T> {
    const next = queue.then(change, change);
    queue = next.then(
      () => undefined,
      () => undefined,
    );
    return next;
  }

  /** A change that throws (a full disk, a temporary folder that is gone) is refused as loudly as a bad policy. */
  async function attempt(
    by: string,
    change: () => Promise<Result<PolicyInfo, string>>,
  ): Promise<Result<PolicyInfo, string>> {
    try {
      return await change();
    } catch (error) {
      return refused(by, error instanceof Error ? error.message : String(error));
    }
  }

  async function readBundle(): Promise<Result<ReadBundle, string>> {
    const bytes = policy.source === undefined ? readFile(source) : await buildFromSource(policy.source);
    if (!bytes.ok) return bytes;
    const sha256 = createHash("sha256").update(bytes.value).digest("hex");
    if (bundle?.sha256 === sha256) return ok(bundle);
    const parsed = parseBundle(bytes.value);
    if (!parsed.ok) return err(`the bundle ${source} cannot be read: ${parsed.error}`);
    const { wasm, revision, dataJson } = parsed.value;
    return ok({ sha256, bytes: bytes.value, wasm, revision, dataJson });
  }

  /** Nothing is written and no thread is asked before this: data that a thread loads may still leave it no memory to judge. */
  async function check(next: ReadBundle, data: PolicyData | undefined): Promise<Result<void, string>> {
    const dataJson = data?.dataJson ?? next.dataJson;
    if (next.sha256 === bundle?.sha256 && dataJson === current?.dataJson) return ok(undefined);
    const checked = await startBundleCheck(next.bytes, policy, CHECK_DEADLINE_MS, dataJson);
    if (checked.ok) return checked;
    const what = data === undefined ? "" : ` with the data ${data.revision}`;
    return err(`the bundle ${source}${what} was refused: ${checked.error.join("; ")}`);
  }

  /** The data that an operator put, or the configured file, whichever was written last; without both, the bundle's own. */
  async function readData(): Promise<Result<PolicyData | undefined, string>> {
    const file = newerOf(savedData, policy.data);
    return file === undefined ? ok(undefined) : readPolicyData(file);
  }

  const load = (by: string): Promise<Result<PolicyInfo, string>> =>
    attempt(by, async () => {
      const next = await readBundle();
      if (!next.ok) return refused(by, next.error);
      const data = await readData();
      if (!data.ok) return refused(by, data.error);
      const checked = await check(next.value, data.value);
      return checked.ok ? switchTo(by, next.value, data.value) : refused(by, checked.error);
    });

  async function switchTo(
    by: string,
    nextBundle: ReadBundle,
    data: PolicyData | undefined,
  ): Promise<Result<PolicyInfo, string>> {
    const module = bundle?.sha256 === nextBundle.sha256 ? bundle.module : await WebAssembly.compile(nextBundle.wasm);
    const next: LoadedPolicyMessage = {
      revision: { bundle: nextBundle.revision, data: data?.revision ?? "" },
      module,
      dataJson: data?.dataJson ?? nextBundle.dataJson,
    };
    const activated = await activate(next);
    if (!activated.ok) return refused(by, activated.error);
    bundle = { ...nextBundle, module };
    current = next;
    info = { ...next.revision, source, loaded_at: new Date().toISOString() };
    onChange({ by, info });
    return ok(info);
  }

  function refused(by: string, error: string): Result<PolicyInfo, string> {
    if (info !== null) info = { ...info, last_error: error };
    onChange({ by, info, error });
    return err(error);
  }

  const first = await load("start");
  if (!first.ok) return first;

  const paths = [source, ...(policy.data === undefined ? [] : [policy.data])];
  const watcher = policy.watch ? watchPolicy(paths, () => void inTurn(() => load("file change"))) : undefined;

  return ok({
    get current() {
      return current;
    },
    info: () => info,
    reload: (by) => inTurn(() => load(by)),
    putData: (json, by) =>
      inTurn(() =>
        attempt(by, async () => {
          const data = parsePolicyData(json);
          if (!data.ok) return data;
          const inForce = bundle;
          if (inForce === undefined) return err("no policy is loaded yet");
          const checked = await check(inForce, data.value);
          if (!checked.ok) return refused(by, checked.error);
          const previous = existsSync(savedData) ? readFileSync(savedData) : undefined;
          // On disk before it is in force: a restart must not bring back permissions that were taken away.
          const written = writeWhole(savedData, json);
          if (!written.ok) return refused(by, written.error);
          const switched = await attempt(by, () => switchTo(by, inForce, data.value));
          if (!switched.ok) {
            if (previous === undefined) rmSync(savedData, { force: true });
            else writeWhole(savedData, previous.toString("utf8"));
          }
          return switched;
        }),
      ),
    resetData: (by) =>
      inTurn(() =>
        attempt(by, async () => {
          const aside = `${savedData}.taken-back`;
          if (!existsSync(savedData)) return err("no data was put by an operator; nothing to take back");
          renameSync(savedData, aside);
          const loaded = await load(by);
          if (loaded.ok) rmSync(aside, { force: true });
          else renameSync(aside, savedData);
          return loaded;
        }),
      ),
    close: () => watcher?.close(),
  });
}

function newerOf(saved: string, configured: string | undefined): string | undefined {
  if (!existsSync(saved)) return configured;
  if (configured === undefined || !existsSync(configured)) return saved;
  return statSync(configured).mtimeMs > statSync(saved).mtimeMs ? configured : saved;
}

function readFile(file: string): Result<Buffer, string> {
  try {
    return ok(readFileSync(file));
  } catch (error) {
    return err(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function writeWhole(file: string, text: string): Result<void, string> {
  try {
    const temporary = `${file}.new`;
    writeFileSync(temporary, text, { mode: 0o600, flush: true });
    renameSync(temporary, file);
    return ok(undefined);
  } catch (error) {
    return err(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
