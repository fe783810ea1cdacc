// In: raw header pairs of requests and of answers. Out: the properties of the header rules, in both directions.
// The model: lists written from RFC 9110, RFC 9449 and the rows H04, H05 and H10, compared in every spelling.
import assert from "node:assert/strict";
import fc from "fast-check";
import { checkHeaders, type HeaderFacts } from "../../src/action/check-headers.ts";
import { type ParsedHeaders, requestHeaders, responseHeaders, trailerFields } from "../../src/upstream/header-rules.ts";
import { ACCEPTED, property } from "./property.ts";

type Pair = readonly [string, string];

const HOP_BY_HOP = (
  "connection keep-alive proxy-connection te trailer transfer-encoding upgrade " +
  "proxy-authenticate proxy-authorization http2-settings"
).split(" ");
const CREDENTIALS = ["authorization", "dpop", "cookie", "client-cert", "client-cert-chain"];
const PROXY_WORDS = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-client-cert",
  "x-real-ip",
  "true-client-ip",
  "x-client-cert",
];
const OVERRIDES = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
const OWN = [
  "x-cordon-agent",
  "x-cordon-principal",
  "x-cordon-request-id",
  "x-cordon-containment",
  "x-cordon-anything",
];
const FRAMING = ["host", "content-length", "expect"];
const NEVER_SENT = new Set([...HOP_BY_HOP, ...CREDENTIALS, ...PROXY_WORDS, ...OVERRIDES, ...FRAMING]);
/** May be sent once: two readers would not agree on which one counts. */
const ONCE = ["host", "content-type", "content-length", "content-encoding", "transfer-encoding", "upgrade", "expect"];
/** Pass unchanged unless something else asks for their removal. */
const PLAIN = [
  "accept",
  "accept-language",
  "content-type",
  "x-kept",
  "mcp-session-id",
  "if-match",
  "__proto__",
  "range",
];
const PART_OR_CODING = ["range", "if-range", "accept-encoding"];

const spelled = (names: readonly string[]): fc.Arbitrary<string> =>
  fc.tuple(fc.constantFrom(...names), fc.nat(), fc.nat(7)).map(([name, upper, fold]) =>
    name
      .split("")
      .map((char, at) => ((upper >> (at % 31)) & 1 ? char.toUpperCase() : char))
      .join("")
      .replaceAll("-", fold === 0 ? "_" : "-"),
  );
const anyName = fc.oneof(
  { weight: 3, arbitrary: spelled(PLAIN) },
  {
    weight: 2,
    arbitrary: spelled([...NEVER_SENT, ...OWN, ...ONCE, "traceparent", "tracestate", "x-api-key", "close"]),
  },
  { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/) },
);
const padding = fc.constantFrom("", " ", "\t", "  ");
const option = fc
  .tuple(padding, fc.oneof(spelled(["close", "keep-alive", "te", "x-kept", "accept", "upgrade"]), anyName), padding)
  .map((parts) => parts.join(""));
const connectionValue = fc.oneof(
  fc.constantFrom("keep-alive", "close", "Close", ""),
  fc.array(option, { maxLength: 4 }).map((options) => options.join(",")),
);
const value = fc.constantFrom(
  "",
  "v",
  "chunked",
  "gzip, chunked",
  "5",
  "100-continue",
  "application/json",
  "\u00e9",
  "a,b",
);
const pair: fc.Arbitrary<Pair> = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(anyName, value) },
  { weight: 2, arbitrary: fc.tuple(spelled(["connection"]), connectionValue) },
);
/** What a decent client sends, so that most lists get past the first check. */
const withHost = fc
  .tuple(fc.array(pair, { maxLength: 8 }), fc.boolean())
  .map(([pairs, decent]): Pair[] =>
    decent ? [["Host", "gateway.example"], ...pairs.filter(([name]) => name.toLowerCase() !== "host")] : pairs,
  );

interface Request {
  readonly pairs: readonly Pair[];
  readonly credential: string | null;
  readonly mayRedact: boolean;
}

export const HEADERS = [
  property<Request>({
    name: "headers.request",
    says: "what reaches the tool has the gateway's own headers once, and nothing of theirs, hop-by-hop or named by Connection",
    inputs: fc.record({
      pairs: withHost,
      credential: fc.constantFrom(null, "authorization", "x-api-key", "cookie"),
      mayRedact: fc.boolean(),
    }),
    check: checkRequest,
    runs: 2000,
  }),
  property<Answer>({
    name: "headers.response",
    says: "what reaches the agent has the gateway's own headers once, no challenge of the tool and nothing hop-by-hop",
    inputs: fc.record({
      headers: fc.array(fc.tuple(lowerName(), fc.oneof(value, connectionValue, fc.array(value, { maxLength: 3 }))), {
        maxLength: 8,
      }),
      changesBody: fc.boolean(),
    }),
    check: checkResponse,
    runs: 1000,
  }),
];

function checkRequest({ pairs, credential, mayRedact }: Request): string {
  const raw = pairs.flat();
  const facts = checkHeaders(raw, 100);
  if (!facts.ok) return facts.error.reason;
  checkFacts(pairs, facts.value);

  const own: Pair[] = [
    ["x-cordon-agent", "own"],
    ["x-cordon-request-id", "own"],
    ["traceparent", "own"],
    ...(credential === null ? [] : [[credential, "own"] as const]),
  ];
  const out = pairsOf(requestHeaders(raw, own, mayRedact));
  assert.deepEqual(out.slice(-own.length), own, "the gateway's own headers do not stand at the end, as given");
  const passed = out.slice(0, -own.length);
  const named = optionsOf(pairs.filter(([name]) => fold(name) === "connection").map(([, list]) => list));
  const ownNames = new Set(own.map(([name]) => name));
  for (const [name] of passed) {
    const folded = fold(name);
    assert.ok(!NEVER_SENT.has(folded), `${name} reaches the tool`);
    assert.ok(!folded.startsWith("x-cordon-") && !folded.startsWith("x-forwarded-"), `${name} reaches the tool`);
    assert.ok(!ownNames.has(folded), `${name} is the gateway's to say`);
    assert.ok(!named.has(name.toLowerCase()), `${name} is named by Connection`);
    assert.ok(
      !mayRedact || !PART_OR_CODING.includes(name.toLowerCase()),
      `${name} asks for a part of what is redacted`,
    );
  }
  const kept = pairs.filter(
    ([name]) =>
      PLAIN.includes(name.toLowerCase()) &&
      !named.has(name.toLowerCase()) &&
      !(mayRedact && PART_OR_CODING.includes(name.toLowerCase())),
  );
  const isPlain = ([name]: Pair): boolean => PLAIN.includes(name.toLowerCase());
  assert.deepEqual(passed.filter(isPlain), kept, "a plain header was lost, changed or moved");
  return ACCEPTED;
}

/** H04, H05, H10: what a request that was let in cannot have. */
function checkFacts(pairs: readonly Pair[], facts: HeaderFacts): void {
  const valuesOf = (wanted: string): string[] =>
    pairs.filter(([name]) => name.toLowerCase() === wanted).map(([, found]) => found);
  for (const name of ONCE) assert.ok(valuesOf(name).length <= 1, `${name} twice`);
  assert.deepEqual(valuesOf("host"), [facts.host]);
  assert.deepEqual(facts.authorization, valuesOf("authorization"));
  assert.deepEqual(facts.dpop, valuesOf("dpop"));
  const coding = valuesOf("transfer-encoding");
  assert.ok(coding.every((one) => one.toLowerCase() === "chunked"));
  assert.equal(facts.chunked, coding.length === 1);
  assert.equal(facts.hasBody, coding.length === 1 || valuesOf("content-length").some((length) => length !== "0"));
  for (const [name] of pairs) {
    assert.ok(!OVERRIDES.includes(fold(name)), `${name} rewrites what was judged`);
    const meaningful = [...ONCE, "authorization", "dpop", "cookie", ...OWN, ...PROXY_WORDS.slice(0, 3)];
    assert.ok(!name.includes("_") || !meaningful.includes(fold(name)), `${name} is another name to a CGI server`);
  }
  for (const named of optionsOf(valuesOf("connection"))) {
    const endToEnd = ["host", "authorization", "dpop", "content-length", "content-type", "cookie", "traceparent"];
    assert.ok(!endToEnd.includes(named) && !named.startsWith("x-cordon-"), `Connection names ${named}`);
  }
}

interface Answer {
  readonly headers: readonly (readonly [string, string | readonly string[]])[];
  readonly changesBody: boolean;
}

function lowerName(): fc.Arbitrary<string> {
  const challenges = ["www-authenticate", "dpop-nonce", "alt-svc", "authentication-info"];
  const ofBody = ["content-length", "etag", "content-digest", "accept-ranges", "set-cookie", "content-type"];
  const names = [...HOP_BY_HOP, ...challenges, ...ofBody, ...OWN, ...PLAIN, "close"];
  return fc.oneof(fc.constantFrom(...names), fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,12}$/));
}

const CHALLENGES = ["www-authenticate", "proxy-authenticate", "authentication-info", "dpop-nonce", "alt-svc"];
/** Trailers are passed on, so their announcement is too; the other two mean nothing in an answer. */
const HOP_BY_HOP_RESPONSE = HOP_BY_HOP.filter(
  (name) => !["trailer", "proxy-authorization", "http2-settings"].includes(name),
);
const WRONG_AFTER_REDACTION = ["content-length", "etag", "content-digest", "accept-ranges"];
/** RFC 9110 section 6.5.1: framing, routing, authentication, how to read the content. */
const NO_TRAILER = [...HOP_BY_HOP_RESPONSE, "content-length", "content-type", "set-cookie", "host", "www-authenticate"];

function checkResponse({ headers, changesBody }: Answer): string {
  const parsed = Object.fromEntries(headers) as ParsedHeaders;
  const own: Pair[] = [
    ["x-cordon-request-id", "own"],
    ["x-kept", "own"],
  ];
  const out = pairsOf(responseHeaders(parsed, own, changesBody));
  assert.deepEqual(out.slice(-own.length), own);
  const named = optionsOf([parsed["connection"] ?? []].flat());
  const mayPass = (name: string): boolean =>
    !HOP_BY_HOP_RESPONSE.includes(name) &&
    !CHALLENGES.includes(name) &&
    !name.startsWith("x-cordon-") &&
    name !== "x-kept" &&
    !named.has(name) &&
    !(changesBody && WRONG_AFTER_REDACTION.includes(name));
  for (const [name] of out.slice(0, -own.length)) assert.ok(mayPass(name), `${name} reaches the agent`);
  const kept = Object.entries(parsed).filter(([name]) => [...PLAIN, "set-cookie"].includes(name) && mayPass(name));
  for (const [name, values] of kept) {
    assert.deepEqual(
      out.filter(([passed]) => passed === name).map(([, one]) => one),
      [values ?? []].flat(),
      `${name} was lost or changed`,
    );
  }
  for (const [name] of trailerFields(parsed)) {
    assert.ok(!NO_TRAILER.includes(name) && !CHALLENGES.includes(name) && !name.startsWith("x-cordon-"), name);
  }
  return ACCEPTED;
}

/** One name for all spellings: what a server sees that ignores case and takes `_` for `-`. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/** RFC 9110 section 7.6.1: the names in all Connection fields, in lower case. */
function optionsOf(values: readonly string[]): Set<string> {
  return new Set(
    values.flatMap((list) => list.split(",").map((one) => one.replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase())),
  );
}

function pairsOf(flat: readonly string[]): Pair[] {
  assert.equal(flat.length % 2, 0);
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at] ?? "", flat[2 * at + 1] ?? ""] as const);
}
