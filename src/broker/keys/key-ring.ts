// In: a file of keys, the process's time, how often to rotate. Out: the key that signs, and the set that is published.
// A change is on disk before it is seen: no key signs or is published that a crash would lose.
// The only holder of private keys in the process; what it lists, logs or publishes has none of their private members.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { loadSigningKeys, saveSigningKeys } from "./key-file.ts";
import {
  advanceKeys,
  type CreateKey,
  isRotationDue,
  KEYS_MAX,
  type KeyState,
  nextChangeMs,
  publicKeySet,
  type RotationTimes,
  type SigningKey,
} from "./signing-keys.ts";

/** Also the longest time between two looks at the clock: a timer of Node cannot wait for 30 days. */
const LOOK_MS_MAX = 3_600_000;
/** After a change could not be written: the disk may be full for a moment. */
const RETRY_MS = 10_000;

export interface KeyFacts {
  readonly kid: string;
  readonly state: KeyState;
  readonly since: string;
  /** Of the next key: when it begins to sign. Of the active one: when its successor is published. */
  readonly next_change: string;
}

export interface KeyRing {
  /** Of the key that signs now. */
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** JSON text of the public keys (RFC 7517). */
  readonly published: string;
  /** ES256 over a JWS signing input, with the key that its header names: a rotation in between does not matter. */
  sign(signingInput: Uint8Array): Buffer;
  /** Whether one of these keys, named by `kid`, made this ES256 signature. */
  verify(kid: unknown, signingInput: Uint8Array, signature: Uint8Array): boolean;
  /** The next key first, then the active one, then the retired. */
  list(): readonly KeyFacts[];
  /** Publishes a new key, which signs after the overlap. Undefined where one waits already, or too many are retired. */
  rotate(): Promise<KeyFacts | undefined>;
  /** Does what is due at this moment; the timer calls it. */
  look(): Promise<void>;
  close(): void;
}

export interface KeyRingOptions extends RotationTimes {
  /** Path of the file that holds the keys; its folder is made where absent. */
  readonly file: string;
  readonly create: CreateKey;
  /** A key that waits is published for at least so long after a start: while the issuer was away nobody could read it. */
  readonly restartOverlapMs: number;
  readonly nowMs: () => number;
  /** One short sentence for the log. */
  readonly onChange: (kid: string, what: string) => void;
  readonly onProblem: (error: Error) => void;
}

/** RFC 7518 section 3.4. */
const SIGNATURE_BYTES = 64;

const ORDER: readonly KeyState[] = ["next", "active", "retired"];

/** Rejects with one clear line when the keys cannot be had. */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const { file, create, nowMs } = options;
  const earliestMs = nowMs() - options.overlapMs + options.restartOverlapMs;
  let keys: readonly SigningKey[] = (await loadSigningKeys(file, create, nowMs())).map((key) =>
    key.state === "next" ? { ...key, sinceMs: Math.max(key.sinceMs, earliestMs) } : key,
  );
  let privateKeys = importKeys(keys);
  let active = activeOf(keys);
  let published = JSON.stringify(publicKeySet(keys));
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let last: Promise<unknown> = Promise.resolve();

  async function change(next: readonly SigningKey[]): Promise<void> {
    if (next === keys) return;
    await saveSigningKeys(file, next);
    const before = keys;
    keys = next;
    privateKeys = importKeys(next);
    active = activeOf(next);
    published = JSON.stringify(publicKeySet(next));
    tell(before, next);
  }

  function tell(before: readonly SigningKey[], after: readonly SigningKey[]): void {
    for (const key of after) {
      const old = before.find(({ kid }) => kid === key.kid);
      if (old?.state !== key.state) options.onChange(key.kid, SAID[key.state]);
    }
    for (const { kid } of before) {
      if (!after.some((key) => key.kid === kid)) options.onChange(kid, "is no longer published");
    }
  }

  /** One change after the other, whoever asks for it. */
  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  }

  async function lookNow(): Promise<void> {
    await change(advanceKeys(keys, options, nowMs()));
    if (isRotationDue(keys, options, nowMs())) await publishNext();
  }

  async function publishNext(): Promise<SigningKey | undefined> {
    if (keys.length >= KEYS_MAX || keys.some((key) => key.state === "next")) return undefined;
    const key = await create("next", nowMs());
    await change([...keys, key]);
    return key;
  }

  function wait(ms: number): void {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(look, ms);
    timer.unref();
  }

  function waitForChange(): void {
    wait(Math.min(Math.max(nextChangeMs(keys, options) - nowMs(), 1), LOOK_MS_MAX));
  }

  async function look(): Promise<void> {
    try {
      await inTurn(lookNow);
      waitForChange();
    } catch (error) {
      options.onProblem(error instanceof Error ? error : new Error(String(error)));
      wait(RETRY_MS);
    }
  }

  function facts(key: SigningKey): KeyFacts {
    return {
      kid: key.kid,
      state: key.state,
      since: new Date(key.sinceMs).toISOString(),
      next_change: new Date(changeMs(key, options)).toISOString(),
    };
  }

  await look();
  return {
    get kid() {
      return active.kid;
    },
    get privateKey() {
      return createPrivateKey({ key: active.jwk, format: "jwk" });
    },
    get publicKey() {
      return createPublicKey({ key: active.jwk, format: "jwk" });
    },
    get published() {
      return published;
    },
    sign(signingInput) {
      const key = privateKeys.get(namedKey(signingInput));
      if (key === undefined) throw new Error("a token names a signing key that is gone");
      return sign("sha256", signingInput, { key, dsaEncoding: "ieee-p1363" });
    },
    verify(kid, signingInput, signature) {
      const key = privateKeys.get(String(kid));
      if (key === undefined || typeof kid !== "string" || signature.length !== SIGNATURE_BYTES) return false;
      return verify("sha256", signingInput, { key, dsaEncoding: "ieee-p1363" }, signature);
    },
    list: () => ORDER.flatMap((state) => keys.filter((key) => key.state === state)).map(facts),
    async rotate() {
      const key = await inTurn(publishNext);
      waitForChange();
      return key === undefined ? undefined : facts(key);
    },
    look,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

const SAID: Readonly<Record<KeyState, string>> = {
  next: "is published and signs after the overlap",
  active: "signs",
  retired: "signs no longer",
};

function changeMs(key: SigningKey, times: RotationTimes): number {
  if (key.state === "next") return key.sinceMs + times.overlapMs;
  return key.state === "active" ? key.sinceMs + times.rotationMs : (key.untilMs ?? 0);
}

function activeOf(keys: readonly SigningKey[]): SigningKey {
  const active = keys.find((key) => key.state === "active");
  if (active === undefined) throw new Error("no signing key is active");
  return active;
}

function importKeys(keys: readonly SigningKey[]): ReadonlyMap<string, KeyObject> {
  return new Map(keys.map(({ kid, jwk }) => [kid, createPrivateKey({ key: jwk, format: "jwk" })]));
}

/** RFC 7515 section 5.1: the signing input starts with the header in base64url, up to the dot. */
function namedKey(signingInput: Uint8Array): string {
  const header = Buffer.from(signingInput).toString("latin1", 0, signingInput.indexOf(0x2e));
  const { kid } = JSON.parse(Buffer.from(header, "base64url").toString("utf8")) as { kid?: string };
  return kid ?? "";
}
