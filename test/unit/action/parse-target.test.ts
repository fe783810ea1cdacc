import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  parseQuery,
  parseTarget,
  QUERY_PARAMETERS_MAX,
  SEGMENTS_MAX,
  TARGET_BYTES_MAX,
} from "../../../src/action/parse-target.ts";

const HOST = "gateway.example";

test("a plain path is its own segments, and the raw bytes stay", () => {
  const target = parseTarget("/jobs/J%2042/%C3%A4?q=a+b&x=%26", HOST);
  assert.ok(target.ok);
  assert.equal(target.value.path, "/jobs/J%2042/%C3%A4");
  assert.equal(target.value.search, "?q=a+b&x=%26");
  assert.deepEqual(target.value.segments, ["jobs", "J 42", "ä"]);
  assert.deepEqual({ ...target.value.query }, { q: "a b", x: "&" });
  assert.equal(target.value.encodedSlash, false);
});

const ODD = [
  "",
  "*",
  "a",
  "//",
  "//evil.example/a",
  "/a//b",
  "/.",
  "/..",
  "/a/.",
  "/a/./b",
  "/a/../b",
  "/a/..",
  "/..;/a",
  "/a/..;x=1/b",
  "/.;/a",
  "/a\\b",
  "/a#b",
  "/a b",
  "/a\tb",
  "/a\u0000",
  "/a\u007f",
  "/ä",
  '/a"b',
  "/a<b",
  "/a|b",
  "/a^b",
  "/a`b",
  "/a{b}",
  "/a[b]",
  "/%",
  "/%2",
  "/%zz",
  "/a%00",
  "/a%0a",
  "/a%0D",
  "/a%1f",
  "/a%7f",
  "/%2e",
  "/%2E%2e/a",
  "/a/%2e%2e/b",
  "/%2e%2e%2fa",
  "/ats/..%2fadmin",
  "/ats/..%2Fadmin",
  "/ats/x%2f..%2f..%2fadmin",
  "/ats/..%5cadmin",
  "/ats/x%5C..",
  "/ats/.%2fadmin",
  "/ats/..%3bx",
  "/ats/.%3B/a",
  "/ats/x%2f..%3bv=1%2fadmin",
  "/ats/..;v=%2f1",
  "/%61ts",
  "/a%7e",
  "/a%2Db",
  "/a%5f",
  "/a%30",
  "/%252e%252e/a",
  "/a%252fb",
  "/%c0%ae",
  "/%ff",
  "/%ed%a0%80",
  "/%c2%85",
  "http://evil.example/a",
  "http://gateway.example",
  "http://user@gateway.example/a",
  "http://gateway.example:81/a",
  "ftp://gateway.example/a",
  "http:/gateway.example/a",
  "gateway.example:443",
];
for (const raw of ODD) {
  test(`the target ${JSON.stringify(raw)} is refused, not mended`, () => {
    const target = parseTarget(raw, HOST);
    assert.ok(!target.ok);
    assert.equal(target.error.reason, "exchange.bad_target");
  });
}

test("the absolute form of this very host is the same target as the origin form", () => {
  const absolute = parseTarget("http://Gateway.Example/a?b=c", HOST);
  assert.deepEqual(absolute, parseTarget("/a?b=c", HOST));
});

test("an encoded slash or backslash is seen, and stays inside of its segment", () => {
  for (const escape of ["%2f", "%2F", "%5c", "%5C"]) {
    const target = parseTarget(`/a/b${escape}c`, HOST);
    assert.ok(target.ok);
    assert.equal(target.value.encodedSlash, true);
    assert.equal(target.value.segments.length, 2);
  }
});

test("dots that are no whole segment are plain text, also beside an encoded slash", () => {
  for (const raw of [
    "/a/...%2fb",
    "/a/x..%2f..x",
    "/a/.git%2f.x",
    "/a/v1.%3bx",
    "/a/%2f",
    "/a/https:%2f%2fb.example",
  ]) {
    assert.ok(parseTarget(raw, HOST).ok, raw);
  }
});

test("no accepted path has a parent step for a server that decodes first, splits at / or \\ and drops parameters", () => {
  const part = fc.constantFrom(
    ".",
    "..",
    "a",
    "/",
    ";",
    "x=1",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "%3b",
    "%3B",
    "%20",
    "%C3%A4",
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const target = parseTarget(`/${parts.join("")}`, HOST);
      if (!target.ok) return;
      for (const step of decodeURIComponent(target.value.path).split(/[/\\]/)) {
        assert.ok(!/^\.{1,2}(;.*)?$/.test(step), target.value.path);
      }
    }),
    { numRuns: 5000 },
  );
});

test("length, segments and parameters have limits", () => {
  assert.ok(!parseTarget(`/${"a".repeat(TARGET_BYTES_MAX)}`, HOST).ok);
  assert.ok(parseTarget("/a".repeat(SEGMENTS_MAX), HOST).ok);
  assert.ok(!parseTarget("/a".repeat(SEGMENTS_MAX + 1), HOST).ok);
  const pairs = Array.from({ length: QUERY_PARAMETERS_MAX + 1 }, (_, index) => `p${index}=1`);
  assert.ok(parseQuery(pairs.slice(1).join("&")).ok);
  assert.ok(!parseQuery(pairs.join("&")).ok);
});

for (const raw of [
  "a=1&a=2",
  "a=1&%61=2",
  "a&a",
  "a=1&b=2&a=",
  "a b=1",
  "a=%",
  "a=%zz",
  "a=%ff",
  "a#b",
  "%00=1",
  "a%0ab=1",
  "é=1",
]) {
  test(`the query ${JSON.stringify(raw)} is refused`, () => {
    const query = parseQuery(raw);
    assert.ok(!query.ok);
    assert.equal(query.error.reason, "exchange.bad_query");
  });
}

test("names of Object.prototype are plain query names, and occur once as any other", () => {
  const query = parseQuery("__proto__=1&constructor=2");
  assert.ok(query.ok);
  assert.equal(JSON.stringify(query.value), '{"__proto__":"1","constructor":"2"}');
  assert.ok(!parseQuery("__proto__=1&__proto__=2").ok);
});

test("what is accepted is canonical: its segments encode to the raw path again, up to what needs no escape", () => {
  const byte = fc.constantFrom(
    ..."aZ09-._~!$&'()*+,;=:@%/?#\\ \u0000ä".split(""),
    "%2F",
    "%41",
    "%2e",
    "%20",
    "%C3%A4",
    "%00",
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 24 }), (parts) => {
      const target = parseTarget(`/${parts.join("")}`, HOST);
      if (!target.ok) return;
      const again = (text: string): string => encodeURIComponent(text).toLowerCase();
      const raw = target.value.path.slice(1).split("/");
      assert.equal(raw.length, target.value.segments.length);
      for (const [index, segment] of target.value.segments.entries()) {
        assert.equal(again(decodeURIComponent(raw[index] ?? "")), again(segment));
        assert.ok(segment !== "." && segment !== "..");
        assert.ok(!/%[0-9a-f]{2}/i.test(segment) || !(raw[index] ?? "").includes("%25"));
      }
      assert.equal(
        new URL(`http://${HOST}${target.value.path}`).pathname,
        target.value.path,
        "another parser mends it",
      );
    }),
    { numRuns: 2000 },
  );
});
