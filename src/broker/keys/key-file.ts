// In: a file of the data folder. Out: the issuer's private signing keys, the first one made at the first start, and kept.
// It trusts the folder's owner only: folder 0700, file 0600, and a looser file is refused.
// States stand in the same file as the keys: one rename changes both, so that a crash leaves no key without its state.
import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { JWK } from "jose";
import type { CreateKey, KeyState, SigningKey } from "./signing-keys.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;

/** How a key stands in the file: a private JWK; the three members are absent in a file of before there were states. */
type WrittenKey = JWK & { readonly state?: unknown; readonly since_ms?: unknown; readonly until_ms?: unknown };

/**
 * The ES256 keys that sign access tokens; exactly one is active. Throws with one clear line when the file is
 * unreadable, damaged or open to others.
 */
export async function loadSigningKeys(file: string, create: CreateKey, nowMs: number): Promise<readonly SigningKey[]> {
  await mkdir(dirname(file), { recursive: true, mode: FOLDER_MODE });
  await removeLeftovers(file);
  const existing = await readKeys(file, nowMs);
  if (existing !== undefined) return existing;
  const first = [await create("active", nowMs)];
  await writeAside(file, first, async (aside) => {
    try {
      await link(aside, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  });
  // Another start may have won the race: what stands in the file are the keys.
  return (await readKeys(file, nowMs)) ?? first;
}

/** Whole or not at all: a crash leaves the old keys or the new ones. Resolves when they are on disk. */
export async function saveSigningKeys(file: string, keys: readonly SigningKey[]): Promise<void> {
  await writeAside(file, keys, (aside) => rename(aside, file));
}

/** A crash may have left keys aside that were never in force. */
async function removeLeftovers(file: string): Promise<void> {
  for (const name of await readdir(dirname(file))) {
    if (name.startsWith(`${basename(file)}.`)) await rm(join(dirname(file), name), { force: true });
  }
}

async function readKeys(file: string, nowMs: number): Promise<readonly SigningKey[] | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const { mode, mtimeMs } = await stat(file);
  if (process.platform !== "win32" && (mode & GROUP_AND_OTHERS) !== 0) {
    throw new Error(`${file} can be read by others; run: chmod 600 ${file}`);
  }
  const keys = parseKeys(text, Math.floor(mtimeMs), nowMs);
  if (keys === undefined) {
    throw new Error(`${file} is damaged; restore it, or remove it to make a new key (tokens in use become invalid)`);
  }
  return keys;
}

function parseKeys(text: string, writtenMs: number, nowMs: number): readonly SigningKey[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message may quote a key: the caller names the file instead.
    return undefined;
  }
  const list = (parsed as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(list)) return undefined;
  const keys = list.map((key: unknown) => parseKey(key, writtenMs, nowMs)).filter((key) => key !== undefined);
  const count = (state: KeyState) => keys.filter((key) => key.state === state).length;
  return keys.length === list.length && count("active") === 1 && count("next") <= 1 ? keys : undefined;
}

function parseKey(value: unknown, writtenMs: number, nowMs: number): SigningKey | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { state = "active", since_ms: since = writtenMs, until_ms: untilMs, ...jwk } = value as WrittenKey;
  const whole = [jwk.kid, jwk.d, jwk.x, jwk.y].every((member) => typeof member === "string");
  if (!whole || jwk.kty !== "EC" || jwk.crv !== "P-256" || typeof since !== "number") return undefined;
  const { kid = "" } = jwk;
  // A time ahead of this clock, which may have been set back, must not put a rotation off.
  const sinceMs = Math.min(since, nowMs);
  if (state === "active" || state === "next") return { kid, state, sinceMs, jwk };
  return state === "retired" && typeof untilMs === "number" ? { kid, state, sinceMs, untilMs, jwk } : undefined;
}

async function writeAside(
  file: string,
  keys: readonly SigningKey[],
  putInPlace: (aside: string) => Promise<void>,
): Promise<void> {
  const written = keys.map(({ jwk, state, sinceMs, untilMs }) => ({
    ...jwk,
    state,
    since_ms: sinceMs,
    until_ms: untilMs,
  }));
  const aside = `${file}.${randomUUID()}`;
  try {
    const handle = await open(aside, "wx", FILE_MODE);
    try {
      await handle.writeFile(JSON.stringify({ keys: written }));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await putInPlace(aside);
  } finally {
    await rm(aside, { force: true });
  }
  // The new name itself is on disk only with the folder.
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
