// In: a request's target, and the secret of this run. Out: the target at the gateway, or undefined for whoever has no secret.
// The rest is passed on byte for byte: what can be read in two ways the gateway refuses, and nothing here may mend it.
import { randomBytes, timingSafeEqual } from "node:crypto";

const SECRET_BYTES = 32;

export interface RunSecret {
  /** 256 random bits, base64url: what a path must begin with. */
  readonly text: string;
  /** Path and query at the gateway, beginning with `/`. */
  targetOf(rawTarget: string): string | undefined;
}

export function createRunSecret(text = randomBytes(SECRET_BYTES).toString("base64url")): RunSecret {
  const expected = Buffer.from(text, "latin1");
  return {
    text,
    targetOf(rawTarget) {
      if (rawTarget[0] !== "/") return undefined;
      const given = Buffer.from(rawTarget.slice(1, text.length + 1), "latin1");
      // Compared in one time, so that answers do not tell how much of a guess was right.
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      const rest = rawTarget.slice(text.length + 1);
      if (rest === "") return "/";
      if (rest[0] === "/") return rest;
      return rest[0] === "?" ? `/${rest}` : undefined;
    },
  };
}

/**
 * RFC 9110 section 10.2.2: a redirect within the gateway is passed on as one that leads through the sidecar again;
 * any other as it is. `base` is `http://127.0.0.1:PORT/<secret>`.
 */
export function locationFor(location: string, gateway: string, base: string): string {
  if (location.startsWith("/") && !/^\/[/\\]/.test(location)) return `${base}${location}`;
  const url = URL.parse(location);
  if (url === null || url.origin !== gateway) return location;
  return `${base}${url.pathname}${url.search}${url.hash}`;
}

/**
 * A page that came through the sidecar has the sidecar's origin; to the gateway that is its own. Any other origin is passed
 * on as it is, and is for the gateway to refuse.
 */
export function originFor(origin: string, gateway: string, base: string): string {
  return origin === new URL(base).origin ? gateway : origin;
}
