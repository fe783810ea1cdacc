// In: values that strangers chose, with credentials in them. Out: the property of a finished log line.
// The model: Unicode's own classes of what is not seen, and the credential's own text.
import assert from "node:assert/strict";
import fc from "fast-check";
import { safeJsonText } from "../../src/lib/safe-json-text.ts";
import { encode } from "../unit/token/token-fixtures.ts";
import { ACCEPTED, property } from "./property.ts";

interface Logged {
  readonly texts: readonly string[];
  /** Credentials, each put at a place of its own into the texts. */
  readonly secrets: readonly string[];
}

const base64url = fc.stringMatching(/^[A-Za-z0-9_-]{24,60}$/);
const header = fc.constantFrom(
  '{"alg":"ES256"}',
  '{ "alg":"ES256"}',
  '{\n"typ":"dpop+jwt"}',
  '{\r\n"alg":1}',
  '{\t"a":1}',
);
const jose = fc
  .tuple(header, fc.array(base64url, { minLength: 1, maxLength: 4 }))
  .map(([json, parts]) => [encode(json), ...parts].join("."));
const scheme = fc.constantFrom("Bearer ", "DPoP ", "basic ", "BEARER\t", "Bearer%20", "dpop+", "Bearer  ", "Basic\n");
const secret = fc.oneof(
  jose,
  fc.tuple(scheme, fc.oneof(jose, base64url)).map((two) => two.join("")),
);
const glue = fc.constantFrom("", " ", "/", "?token=", "a", '"', "\\", "=", "&", ",", "\u0000", "\n", "%20", "é");
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom(
    "plain",
    "\u001b[2K",
    "\r\n{}",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u00ad",
    "\u{e0041}",
    "\ufeff",
    "\ud800",
    "\udc00\ud800",
  ),
  fc.constantFrom(
    "\u{1f600}",
    "\u034f",
    "\u3164",
    "\ufe0f",
    "\u{1d173}",
    "\u180e",
    "\u061c",
    "\u0085",
    "\u2028",
    "\ufff9",
  ),
);

export const LOG_LINES = [
  property<Logged>({
    name: "log.line",
    says: "a log line is one line of JSON that means what was logged, shows every character, and holds no credential",
    inputs: fc
      .record({
        texts: fc.array(text, { maxLength: 4 }),
        secrets: fc.array(fc.tuple(glue, secret, glue), { maxLength: 2 }),
      })
      .map(({ texts, secrets }) => ({
        texts: [...texts, ...secrets.map((parts) => parts.join(""))],
        secrets: secrets.map(([, one]) => one),
      })),
    check: checkLine,
    runs: 2000,
  }),
];

/** What a terminal or a viewer acts on, or does not show at all. */
const UNSEEN = /\p{Cc}|\p{Cf}|\p{Cs}|\p{Zl}|\p{Zp}|\p{Bidi_Control}|\p{Default_Ignorable_Code_Point}/u;

function checkLine({ texts, secrets }: Logged): string {
  const value = { texts, named: Object.fromEntries(texts.map((one, at) => [`${at}${one}`, one])) };
  const line = safeJsonText(JSON.stringify(value));
  const unseen = UNSEEN.exec(line)?.[0];
  assert.ok(unseen === undefined, `U+${unseen?.codePointAt(0)?.toString(16)} is not seen`);
  const logged = JSON.parse(line) as typeof value;
  assert.equal(logged.texts.length, texts.length);
  for (const one of secrets) {
    const words = one.split(/[.\s+]|%20/).filter((word) => word.length >= 24);
    for (const word of words) assert.ok(!line.includes(word), "a credential is logged");
  }
  if (!line.includes("[redacted]")) assert.deepEqual(logged, value, "the line says something else");
  assert.equal(safeJsonText(line), line, "made safe twice, it is another line");
  return ACCEPTED;
}
