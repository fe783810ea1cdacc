// In: an issuer's JWKS (RFC 7517) or SPIFFE bundle, given once or behind a URL whose read is handed in. Out: its keys.
// Trusts the issuer's URL only; `kid` is a lookup key and never leads to a fetch of its own, `jku` and `x5u` are never read.
// Known keys work on while the URL is unreachable; whatever is asked for, one fetch is made in a cool-down.
import type { X509Certificate } from "node:crypto";
import { deny } from "../errors.ts";
import type { Denial } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import { checkPublicJwk, importPublicKey } from "../lib/public-key.ts";
import type { PublicKey } from "../lib/public-key.ts";
import { keyFits } from "../lib/signature-verifier.ts";
import { readSpiffeBundle } from "./spiffe-bundle.ts";
import { isObject, memberOf, parseStrictObject } from "../lib/strict-json.ts";

/** Text of a JWKS: hundreds of keys fit. */
const JWKS_BYTES_MAX = 262_144;
const JWKS_KEYS_MAX = 256;

export interface KeySetByUrl {
  readonly url: string;
  /** At most one fetch in this time. */
  readonly cooldownMs: number;
  /** After this time the keys are read again in the background. */
  readonly maxAgeMs: number;
  /** Reads the document. Has its own timeout and size limit; a rejection means unreachable. */
  readonly fetchText: (url: string) => Promise<string>;
  /** The document as it was read before the first request, if it could be. */
  readonly initialText?: string | undefined;
}

/** What the document is. Of a `spiffe_bundle` only the keys for JWT-SVIDs verify. */
export type KeySetFormat = "jwks" | "spiffe_bundle";

export type KeySetOptions = ({ readonly jwks: unknown } | KeySetByUrl) & { readonly format?: KeySetFormat };

export interface KeySet {
  /**
   * The one key for `kid` and `alg`. Synchronous when the key is known; a promise only while a fetch is awaited.
   * `token.key_unknown`: the issuer has no such key. `token.keys_unavailable`: its keys were never read.
   */
  find(kid: string | undefined, alg: string, nowMs: number): FindResult | Promise<FindResult>;
  /** Whether the key that `find` returned is still in the set. */
  has(key: PublicKey): boolean;
  /** Of a SPIFFE bundle: what X.509-SVIDs of the trust domain lead to. Another array whenever they change. */
  readonly authorities: readonly X509Certificate[];
  /** Starts a background fetch when the keys are older than `maxAgeMs`. Cheap; called on each use of a cached token. */
  refreshIfDue(nowMs: number): void;
  /** Grows whenever the set of keys changes. */
  readonly version: number;
  onChange(listener: () => void): void;
  /**
   * Called with the reason when a fetch fails after the start or after a success, and with undefined when one succeeds
   * again; the failures between are not told, so that an issuer that is down for hours does not fill the log.
   */
  onProblem(listener: (problem: string | undefined) => void): void;
  /** What was refused in the last document, or why the last fetch failed; for the log. */
  readonly problems: readonly string[];
}

type FindResult = Result<PublicKey, Denial>;

export function createKeySet(options: KeySetOptions): KeySet {
  const source = "url" in options ? options : undefined;
  const listeners: (() => void)[] = [];
  const problemListeners: ((problem: string | undefined) => void)[] = [];
  let failing = false;
  let keys: readonly PublicKey[] = [];
  let members = new Set<PublicKey>();
  let authorities: readonly X509Certificate[] = [];
  let acceptedText: string | undefined;
  let problems: readonly string[] = [];
  let version = 0;
  let known = false;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let attemptAtMs = Number.NEGATIVE_INFINITY;
  let pending: Promise<void> | undefined;

  function accept(document: unknown): boolean {
    const read = options.format === "spiffe_bundle" ? readSpiffeBundle(document, readKeys) : readJwks(document);
    if (!read.ok) {
      problems = [read.error];
      return false;
    }
    problems = read.value.problems;
    known = true;
    // A key that stays keeps its identity: cached tokens compare by it.
    const next = read.value.keys.map((key) => keys.find((old) => sameKey(old, key)) ?? key);
    const renewed = !sameCertificates(read.value.authorities, authorities);
    const changed = renewed || next.length !== keys.length || next.some((key) => !members.has(key));
    keys = next;
    if (renewed) authorities = read.value.authorities;
    members = new Set(next);
    if (changed) {
      version++;
      for (const listener of listeners) listener();
    }
    return true;
  }

  /** A file is read each second: what did not change is not parsed again. */
  function acceptText(text: string): boolean {
    if (text === acceptedText) return true;
    const accepted = accept(text.length > JWKS_BYTES_MAX ? undefined : parseStrictObject(Buffer.from(text, "utf8")));
    if (accepted) acceptedText = text;
    return accepted;
  }

  async function fetchKeys(from: KeySetByUrl, nowMs: number): Promise<void> {
    try {
      const accepted = acceptText(await from.fetchText(from.url));
      if (accepted) readAtMs = nowMs;
      tell(!accepted);
    } catch (error) {
      problems = [`the key set cannot be read: ${error instanceof Error ? error.message : String(error)}`];
      tell(true);
    }
  }

  function tell(failed: boolean): void {
    if (failed === failing) return;
    failing = failed;
    for (const listener of problemListeners) listener(failed ? problems[0] : undefined);
  }

  /** The fetch under way or a new one; undefined in the cool-down. */
  function refresh(nowMs: number): Promise<void> | undefined {
    if (source === undefined || pending !== undefined) return pending;
    if (nowMs - attemptAtMs < source.cooldownMs) return undefined;
    attemptAtMs = nowMs;
    const fetching = fetchKeys(source, nowMs).finally(() => {
      pending = undefined;
    });
    pending = fetching;
    return fetching;
  }

  function refreshIfDue(nowMs: number): void {
    if (source !== undefined && nowMs - readAtMs >= source.maxAgeMs) void refresh(nowMs);
  }

  function lookUp(kid: string | undefined, alg: string): FindResult {
    const found = keys.filter((key) => (kid === undefined || key.kid === kid) && keyFits(key, alg));
    const [key] = found;
    if (key !== undefined && found.length === 1) return ok(key);
    if (!known) return err(deny("token.keys_unavailable", problems[0]));
    // Two keys under one `kid`: no guess which one is meant.
    return err(deny("token.key_unknown", found.length > 1 ? "more than one key fits" : "no key fits"));
  }

  function find(kid: string | undefined, alg: string, nowMs: number): FindResult | Promise<FindResult> {
    refreshIfDue(nowMs);
    const result = lookUp(kid, alg);
    if (result.ok) return result;
    const fetching = refresh(nowMs);
    return fetching === undefined ? result : fetching.then(() => lookUp(kid, alg));
  }

  if ("jwks" in options) accept(options.jwks);
  else if (options.initialText !== undefined) tell(!acceptText(options.initialText));
  return {
    find,
    has: (key) => members.has(key),
    refreshIfDue,
    get version() {
      return version;
    },
    get authorities() {
      return authorities;
    },
    onChange: (listener) => void listeners.push(listener),
    onProblem: (listener) => void problemListeners.push(listener),
    get problems() {
      return problems;
    },
  };
}

export interface ReadKeys {
  readonly keys: readonly PublicKey[];
  readonly authorities: readonly X509Certificate[];
  readonly problems: readonly string[];
}

function readJwks(document: unknown): Result<ReadKeys, string> {
  const list = isObject(document) ? memberOf(document, "keys") : undefined;
  if (!Array.isArray(list) || list.length > JWKS_KEYS_MAX) return err("the document is not a JWK set");
  return ok({ ...readKeys(list), authorities: [] });
}

/** A key that is refused is left out, and only that key: a published private key must not keep working. */
function readKeys(list: readonly unknown[]): Omit<ReadKeys, "authorities"> {
  const keys: PublicKey[] = [];
  const problems: string[] = [];
  for (const [index, jwk] of list.entries()) {
    const checked = checkPublicJwk(jwk);
    const key = checked.ok ? importPublicKey(checked.value) : checked;
    if (!key.ok) problems.push(`key ${index}: ${key.error.detail}`);
    else if (!keys.some((other) => sameKey(other, key.value))) keys.push(key.value);
  }
  // The public half of a key whose private half is published too is worth nothing.
  const exposed = new Set(list.map(publicThumbprintOfPrivate).filter((thumbprint) => thumbprint !== undefined));
  return { keys: keys.filter((key) => !exposed.has(key.thumbprint)), problems };
}

function publicThumbprintOfPrivate(jwk: unknown): string | undefined {
  if (!isObject(jwk) || !Object.hasOwn(jwk, "d")) return undefined;
  const { kty, crv, x, y, n, e } = jwk;
  const checked = checkPublicJwk({ kty, crv, x, y, n, e });
  return checked.ok ? checked.value.thumbprint : undefined;
}

function sameCertificates(left: readonly X509Certificate[], right: readonly X509Certificate[]): boolean {
  return left.length === right.length && left.every((one, index) => right[index]?.raw.equals(one.raw) === true);
}

function sameKey(left: PublicKey, right: PublicKey): boolean {
  return left.thumbprint === right.thumbprint && left.kid === right.kid && left.alg === right.alg;
}
