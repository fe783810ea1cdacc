// In: the data folder. Out: the issuer's private signing key, made at the first start and kept.
// It trusts the folder's owner only: folder 0700, file 0600, and a looser file is refused.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { link, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { calculateJwkThumbprint, type JWK } from "jose";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;

/**
 * The ES256 key that signs access tokens, as a private JWK with `kid` its RFC 7638 thumbprint.
 * Throws with one clear line when the file is unreadable, damaged or open to others.
 */
export async function loadSigningKey(dataFolder: string): Promise<JWK> {
  const folder = join(dataFolder, "broker");
  const file = join(folder, "keys.json");
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE });

  const existing = await readKey(file);
  if (existing !== undefined) return existing;

  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = privateKey.export({ format: "jwk" }) as JWK;
  const key: JWK = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: "ES256", use: "sig" };
  await writeWhole(file, JSON.stringify({ keys: [key] }));
  // Another start may have won the race: what stands in the file is the key.
  return (await readKey(file)) ?? key;
}

async function readKey(file: string): Promise<JWK | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (process.platform !== "win32" && ((await stat(file)).mode & GROUP_AND_OTHERS) !== 0) {
    throw new Error(`${file} can be read by others; run: chmod 600 ${file}`);
  }
  const key = parseKey(text);
  if (key === undefined) {
    throw new Error(`${file} is damaged; restore it, or remove it to make a new key (tokens in use become invalid)`);
  }
  return key;
}

function parseKey(text: string): JWK | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message may quote the key: the caller names the file instead.
    return undefined;
  }
  const key = (parsed as { keys?: JWK[] } | null)?.keys?.[0];
  const whole = [key?.kid, key?.d, key?.x, key?.y].every((member) => typeof member === "string");
  return whole && key?.kty === "EC" && key.crv === "P-256" ? key : undefined;
}

/** Written aside and linked into place: a crash leaves the whole file or none, and an existing one is never replaced. */
async function writeWhole(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  const handle = await open(aside, "wx", FILE_MODE);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(aside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(aside, { force: true });
  }
}
