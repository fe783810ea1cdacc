import assert from "node:assert/strict";
import { test } from "node:test";
import { checkHeaders } from "../../../src/action/check-headers.ts";

const COUNT_MAX = 100;

function check(...pairs: string[]) {
  return checkHeaders(["Host", "gateway.example", ...pairs], COUNT_MAX);
}
function reasonOf(...pairs: string[]): string {
  const checked = check(...pairs);
  return checked.ok ? "" : checked.error.reason;
}

test("the few headers that matter are read, whatever their case", () => {
  const checked = check(
    "AUTHORIZATION",
    "DPoP a",
    "dpop",
    "b",
    "Content-TYPE",
    "application/json",
    "content-length",
    "2",
  );
  assert.ok(checked.ok);
  const { host, authorization, dpop, contentType, contentLength, hasBody, chunked } = checked.value;
  assert.deepEqual(
    [host, authorization, dpop, contentType, contentLength],
    ["gateway.example", ["DPoP a"], ["b"], "application/json", "2"],
  );
  assert.deepEqual([hasBody, chunked], [true, false]);
});

test("a request has a body by its length or by its chunks, and by nothing else", () => {
  const bodyOf = (...pairs: string[]): boolean => {
    const checked = check(...pairs);
    assert.ok(checked.ok);
    return checked.value.hasBody;
  };
  assert.equal(bodyOf(), false);
  assert.equal(bodyOf("Content-Length", "0"), false);
  assert.equal(bodyOf("Content-Length", "1"), true);
  assert.equal(bodyOf("Transfer-Encoding", "Chunked"), true);
});

test("a header that counts once is refused twice; credentials are all handed on to who judges them", () => {
  for (const name of [
    "Host",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Upgrade",
    "Expect",
    "Transfer-Encoding",
  ]) {
    assert.equal(reasonOf(name, "chunked", name.toLowerCase(), "chunked"), "exchange.duplicate_header");
  }
  const checked = check("Authorization", "a", "authorization", "b", "DPoP", "c", "dpop", "d");
  assert.ok(checked.ok);
  assert.deepEqual(
    [checked.value.authorization, checked.value.dpop],
    [
      ["a", "b"],
      ["c", "d"],
    ],
  );
});

test("a request without Host, or with an empty one, is of no origin", () => {
  for (const raw of [[], ["Host", ""]]) {
    const checked = checkHeaders(raw, COUNT_MAX);
    assert.ok(!checked.ok);
    assert.equal(checked.error.reason, "exchange.bad_host");
  }
});

test("H01 one header more than the limit is refused", () => {
  const lines = (count: number): string[] => Array.from({ length: count }, () => ["x", "y"]).flat();
  assert.equal(reasonOf(...lines(COUNT_MAX - 1)), "");
  assert.equal(reasonOf(...lines(COUNT_MAX)), "exchange.headers_too_large");
});

for (const [name, value] of [
  ["Transfer-Encoding", "gzip, chunked"],
  ["Transfer-Encoding", "identity"],
  ["Transfer-Encoding", ""],
  ["Expect", "200-ok"],
  ["X-HTTP-Method-Override", "DELETE"],
  ["X-Original-URL", "/admin"],
  ["x_cordon_agent", "x"],
  ["X_Forwarded-For", "x"],
  ["content_length", "5"],
  ["Client_Cert", "x"],
  ["x.cordon.agent", "x"],
  ["X-Cordon~Agent", "x"],
  ["Transfer.Encoding", "chunked"],
  ["Connection", "close, X-Cordon-Agent"],
  ["Connection", "authorization"],
  ["Connection", "x-forwarded-for"],
  ["Connection", ",\tHOST ,"],
] as const) {
  test(`H05 ${name}: ${JSON.stringify(value)} is refused`, () => {
    assert.equal(reasonOf(name, value), "exchange.forbidden_header");
  });
}

test("a length that a double does not carry is refused, so that the tool is told the same", () => {
  assert.equal(reasonOf("Content-Length", String(2 ** 53 - 1)), "");
  for (const length of [String(2 ** 53), "9007199254740993", "18446744073709551615"]) {
    assert.equal(reasonOf("Content-Length", length), "exchange.malformed");
  }
});

test("an underscore or dot in a name that folds into nothing of ours is the client's own affair", () => {
  assert.equal(reasonOf("my_header", "x"), "");
  assert.equal(reasonOf("my.header", "x"), "");
  assert.equal(reasonOf("Connection", "keep-alive, my-header"), "");
  assert.equal(reasonOf("Expect", "100-Continue"), "");
});
