import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { normaliseHtu } from "../../../src/token/normalise-htu.ts";

test("case, default port, percent-encoding, dot segments and the empty path are normalised", () => {
  for (const [given, canonical] of [
    ["HTTPS://Gateway.Example", "https://gateway.example/"],
    ["https://gateway.example:443/a", "https://gateway.example/a"],
    ["http://gateway.example:80/a", "http://gateway.example/a"],
    ["https://gateway.example:80/a", "https://gateway.example:80/a"],
    ["https://gateway.example:/a", "https://gateway.example/a"],
    ["https://gateway.example/%7euser/%2fa%3A", "https://gateway.example/~user/%2Fa%3A"],
    ["https://gateway.example/a/./b/../c", "https://gateway.example/a/c"],
    ["https://gateway.example/a/%2e%2E/b/.", "https://gateway.example/b/"],
    ["https://gateway.example/../..", "https://gateway.example/"],
    ["https://gateway.example/a//b", "https://gateway.example/a//b"],
    ["https://gateway.example/A?q=1#f", "https://gateway.example/A"],
    ["https://[::1]:443/", "https://[::1]/"],
  ] as const) {
    assert.equal(normaliseHtu(given), canonical, given);
  }
});

test("what is not a plain http URI is refused", () => {
  for (const text of [
    "",
    "/jobs",
    "gateway.example/a",
    "ftp://a.example/",
    "https://",
    "https://user@a.example/",
    "https://u:p@a.example/",
    "https://a.example\\b",
    "https://a.example/a b",
    " https://a.example/",
    "https://a.example/\n",
    "https://a.example/%zz",
    "https://a.example/%2",
    "https://a.example:99999999/",
    "https://a.example:x/",
    "https://ä.example/",
    "https://a.example/ä",
    "https:///a",
  ]) {
    assert.equal(normaliseHtu(text), undefined, text);
  }
});

test("normalising is done once: the canonical form is its own", () => {
  const path = fc.array(fc.constantFrom("a", ".", "..", "%2e", "%2F", "%41", "~", "", "B%7e"), { maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom("https://A.example", "http://a.example:80"), path, (origin, segments) => {
      const canonical = normaliseHtu(`${origin}/${segments.join("/")}`);
      assert.ok(canonical);
      assert.equal(normaliseHtu(canonical), canonical);
    }),
  );
});
