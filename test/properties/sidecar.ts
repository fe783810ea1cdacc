// In: targets, headers and redirects that a program behind the sidecar, or whoever finds its port, may send.
// Out: the properties of what is passed on. The model: the secret and its ending written out, and lists from RFC 9110.
import assert from "node:assert/strict";
import fc from "fast-check";
import { headersForGateway, headersForProgram } from "../../src/agent/sidecar-headers.ts";
import { createRunSecret, locationFor, originFor } from "../../src/agent/sidecar-target.ts";
import { ACCEPTED, property } from "./property.ts";

const SECRET = "Zm9vYmFyYmF6cXV4LW5vdC1hLXJlYWwtc2VjcmV0LTE";
const GATEWAY = "https://gateway.example";
const OWN_ORIGIN = "http://127.0.0.1:4711";
const BASE = `${OWN_ORIGIN}/${SECRET}`;

const end = fc.constantFrom(
  "",
  "/",
  "?",
  "/..",
  "//",
  "/\\",
  "#",
  "x",
  "%2f",
  "/%2e%2e/",
  ":",
  "@evil.example",
  "\u0000",
  "\u00ff",
);
const target = fc
  .tuple(
    fc.constantFrom("/", "", "//", "http://127.0.0.1:4711/", "/./", "/%", "*"),
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(SECRET) },
      fc.constantFrom(
        SECRET.slice(1),
        SECRET.slice(0, -1),
        SECRET.toLowerCase(),
        `${SECRET}${SECRET}`,
        encodeURIComponent(`/${SECRET}`),
      ),
      fc.string({ minLength: 43, maxLength: 43 }),
    ),
    fc.array(fc.oneof(end, fc.string({ unit: "binary-ascii", maxLength: 8 })), { maxLength: 4 }),
  )
  .map(([start, secret, rest]) => start + secret + rest.join(""));

/** Read once as a person reads it: a slash, the secret, and then nothing, a slash or a query. */
function checkTarget(raw: string): string {
  const found = createRunSecret(SECRET).targetOf(raw);
  const behind = raw.startsWith(`/${SECRET}`) ? raw.slice(SECRET.length + 1) : undefined;
  if (behind === undefined || !["", "/", "?"].includes(behind.slice(0, 1))) {
    assert.equal(found, undefined);
    return "no secret";
  }
  assert.ok(found?.startsWith("/"));
  // Byte for byte: what was written is what the gateway judges.
  assert.equal(found, behind.startsWith("/") ? behind : `/${behind}`);
  assert.equal(new URL(GATEWAY + found).origin, GATEWAY, "no target leads to another host");
  return ACCEPTED;
}

const NEVER = [
  ..."connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings expect".split(" "),
  ..."proxy-authenticate proxy-authorization".split(" "),
];
const CREDENTIALS = ["authorization", "dpop", "host"];
const PLAIN = [
  "accept",
  "content-type",
  "content-length",
  "cookie",
  "x-kept",
  "x-hop",
  "origin",
  "mcp-session-id",
  "__proto__",
  "referer",
];

type Pair = readonly [string, string];
const name = fc
  .tuple(fc.constantFrom(...NEVER, ...CREDENTIALS, "dpop-nonce", ...PLAIN, ...PLAIN), fc.nat())
  .map(([text, upper]) =>
    text.replaceAll(/./g, (char, at: number) => ((upper >> (at % 31)) & 1 ? char.toUpperCase() : char)),
  );
const value = fc.oneof(
  fc.constantFrom("x-hop", "close", " X-Hop , x-kept", "Bearer x", `${BASE}/page`, "content-length", "", OWN_ORIGIN),
  fc.string({ maxLength: 12 }),
);
const pairs = fc.array(fc.tuple(name, value), { maxLength: 12 });

function pairsOf(raw: readonly string[]): Pair[] {
  return raw.flatMap((text, at): Pair[] => (at % 2 === 0 ? [[text, raw[at + 1] ?? ""]] : []));
}

function isNamed(all: readonly Pair[], lower: string): boolean {
  if (lower === "content-length") return false;
  const named = all.filter(([one]) => one.toLowerCase() === "connection").map(([, text]) => text.toLowerCase());
  return named.some((text) => text.split(",").some((one) => one.trim() === lower));
}

function checkRequest(all: readonly Pair[]): string {
  const mapOrigin = (text: string): string => originFor(text, GATEWAY, BASE);
  const kept = pairsOf(headersForGateway(all.flat(), { secret: SECRET, mapOrigin }));
  const expected = all.filter(([text, content]) => {
    const lower = text.toLowerCase();
    return ![...NEVER, ...CREDENTIALS].includes(lower) && !content.includes(SECRET) && !isNamed(all, lower);
  });
  // Only the sidecar's own origin becomes another one, and only where it is said to be one.
  const mapped = expected.map(([text, content]) =>
    text.toLowerCase() === "origin" && content === OWN_ORIGIN ? [text, GATEWAY] : [text, content],
  );
  assert.deepEqual(kept, mapped);
  return kept.length > 0 ? ACCEPTED : "nothing left";
}

function checkResponse(all: readonly Pair[]): string {
  const kept = pairsOf(headersForProgram(all.flat(), () => "mapped"));
  const expected = all.filter(([text]) => {
    const lower = text.toLowerCase();
    return !NEVER.includes(lower) && lower !== "dpop-nonce" && !isNamed(all, lower);
  });
  assert.deepEqual(kept, expected);
  return kept.length > 0 ? ACCEPTED : "nothing left";
}

const location = fc
  .tuple(
    fc.constantFrom(
      "",
      "/",
      "//",
      "/\\",
      "\\",
      GATEWAY,
      `${GATEWAY}:443`,
      `${GATEWAY}.evil.example`,
      "http://gateway.example",
      "https://u:p@gateway.example",
      "javascript:",
      "?q",
      "#f",
      " /",
    ),
    fc.array(fc.oneof(fc.constantFrom("a", "/", "..", "?", "#", "@", ":", "\\", "%2f"), fc.string({ maxLength: 4 })), {
      maxLength: 6,
    }),
  )
  .map(([start, rest]) => start + rest.join(""));

/** Where it was to lead at the gateway, the program is led through the sidecar; anything else is as the tool said it. */
function checkLocation(text: string): string {
  const mapped = locationFor(text, GATEWAY, BASE);
  if (mapped === text) return "as it was";
  assert.ok(mapped.startsWith(`${BASE}/`));
  const meant = new URL(text, `${GATEWAY}/here/`);
  assert.equal(meant.origin, GATEWAY, "nothing of another host is put behind the secret");
  // Read by the program and passed on by the sidecar, it is the same place at the gateway.
  const behind = mapped.slice(BASE.length);
  const there = new URL(GATEWAY + behind);
  assert.equal(there.pathname + there.search, meant.pathname + meant.search);
  return ACCEPTED;
}

export const SIDECAR = [
  property<string>({
    name: "sidecar.target",
    says: "only the whole secret opens the sidecar, and what stands behind it reaches the gateway as it was written",
    inputs: target,
    check: checkTarget,
    runs: 3000,
  }),
  property<readonly Pair[]>({
    name: "sidecar.request",
    says: "towards the gateway nothing goes that is hop-by-hop, a credential of the program or the secret; all else does, in order",
    inputs: pairs,
    check: checkRequest,
    runs: 1000,
  }),
  property<readonly Pair[]>({
    name: "sidecar.response",
    says: "towards the program nothing goes that is hop-by-hop or a nonce; all else does, in order",
    inputs: pairs,
    check: checkResponse,
    runs: 1000,
  }),
  property<string>({
    name: "sidecar.location",
    says: "a redirect within the gateway leads through the sidecar to the same place, and no other is touched",
    inputs: location,
    check: checkLocation,
    runs: 2000,
  }),
];
