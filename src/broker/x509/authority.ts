// In: the data folder, the trust domain, the process's time. Out: X.509-SVIDs for agents, and what verifies them.
// Its keys turn as the signing keys do. A root lives no longer than it is needed: until the last certificate of its key.
import { createPrivateKey, type KeyObject } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type KeyRing, openKeyRing } from "../keys/key-ring.ts";
import { createSigningKey, type KeyState, RETIRED_MS, type SigningKey } from "../keys/signing-keys.ts";
import { issueAuthority, issueSvid, pemOf } from "./certificate.ts";

const DAY_MS = 86_400_000;
const ROTATION_MS = 30 * DAY_MS;
/** Whoever trusts the roots by a file has so long to take the new one. */
const OVERLAP_MS = 7 * DAY_MS;
/** Roots are taken over by files within the week, whenever the issuer runs; a week that began anew might never end. */
const RESTART_OVERLAP_MS = 0;
/** A clock that is a little behind must not find a certificate that is not valid yet. */
const BACKDATED_MS = 60_000;
/** How often a holder of the bundle should look (SPIFFE Trust Domain and Bundle section 4.1.2). */
const REFRESH_HINT_S = 3600;

export interface CertificateAuthority {
  /** PEM of the agent's certificate, without the root. `untilMs`: the end of its token. */
  issue(id: string, key: KeyObject, untilMs: number): string;
  /** PEM of every root that a live certificate may come from, and of the next one. */
  readonly roots: string;
  /** The same as a SPIFFE bundle, JSON text. */
  readonly bundle: string;
  close(): void;
}

export interface AuthorityOptions {
  readonly dataFolder: string;
  readonly trustDomain: string;
  readonly nowMs: () => number;
  readonly onChange: (kid: string, what: string) => void;
  readonly onProblem: (error: Error) => void;
}

/** Where the roots stand for a gateway on this machine: public, and written before the issuer says that it is ready. */
function rootsFile(dataFolder: string): string {
  return join(dataFolder, "broker", "ca.pem");
}

export async function openAuthority(options: AuthorityOptions): Promise<CertificateAuthority> {
  const { dataFolder, trustDomain, nowMs } = options;
  let running = false;
  let written: Promise<void> = Promise.resolve();
  const ring: KeyRing = await openKeyRing({
    file: join(dataFolder, "broker", "ca.json"),
    create: (state, atMs) => createAuthorityKey(trustDomain, state, atMs),
    nowMs,
    rotationMs: ROTATION_MS,
    overlapMs: OVERLAP_MS,
    restartOverlapMs: RESTART_OVERLAP_MS,
    onChange: (kid, what) => {
      options.onChange(kid, what);
      // What changes while the ring is opened is written below, once it is here.
      if (running) void publish().catch(options.onProblem);
    },
    onProblem: options.onProblem,
  });

  /** One after the other: each writes the same file aside. */
  function publish(): Promise<void> {
    written = written.catch(() => undefined).then(() => writeRoots(rootsFile(dataFolder), rootsOf(ring)));
    return written;
  }

  await publish();
  running = true;
  return {
    issue(id, key, untilMs) {
      const validity = { notBeforeMs: nowMs() - BACKDATED_MS, notAfterMs: untilMs };
      return pemOf(issueSvid({ trustDomain, key: ring.privateKey }, id, key, validity));
    },
    get roots() {
      return rootsOf(ring);
    },
    get bundle() {
      const { keys } = JSON.parse(ring.published) as { keys: { kty: string; crv: string; x: string; y: string }[] };
      return JSON.stringify({ keys, spiffe_refresh_hint: REFRESH_HINT_S });
    },
    close() {
      running = false;
      ring.close();
    },
  };
}

async function createAuthorityKey(trustDomain: string, state: KeyState, nowMs: number): Promise<SigningKey> {
  const made = await createSigningKey(state, nowMs);
  const { alg: _, ...jwk } = made.jwk;
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  // Published, signing, and then trusted until its last certificate has ended; a rotation that is late has a month.
  const notAfterMs = nowMs + OVERLAP_MS + 2 * ROTATION_MS + RETIRED_MS;
  const root = issueAuthority({ trustDomain, key }, { notBeforeMs: nowMs - BACKDATED_MS, notAfterMs });
  return { ...made, jwk: { ...jwk, use: "x509-svid", x5c: [root.toString("base64")] } };
}

function rootsOf(ring: KeyRing): string {
  const { keys } = JSON.parse(ring.published) as { keys: { x5c?: string[] }[] };
  return keys.map(({ x5c }) => pemOf(Buffer.from(x5c?.[0] ?? "", "base64"))).join("");
}

async function writeRoots(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o644 });
  await rename(`${file}.new`, file);
}
