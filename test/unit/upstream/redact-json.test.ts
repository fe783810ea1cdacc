import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { parsePointer, redactJson } from "../../../src/upstream/redact-json.ts";

const redact = (text: string, ...pointers: string[]) => redactJson(Buffer.from(text), pointers)?.toString() ?? null;

describe("redactJson", () => {
  it("removes by pointer, with escapes, in arrays, and both of two neighbours", () => {
    assert.equal(redact('{"a/b":1,"m~n":2,"":3,"k":4}', "/a~1b", "/m~0n", "/"), '{"k":4}');
    assert.equal(redact("[0,1,2,3]", "/1", "/2", "/1"), "[0,3]");
    assert.equal(redact('{"a":[{"s":1},{"s":2}]}', "/a/1/s", "/a/0"), '{"a":[{}]}');
    assert.equal(redact('{"__proto__":{"s":1},"x":1}', "/__proto__"), '{"x":1}');
  });

  it("leaves a document alone where nothing is found", () => {
    for (const pointer of ["/x/y", "/a/00", "/a/-", "/a/9", "/a/length", "/toString", "/a/0/rawJSON"]) {
      assert.equal(redact('{"a":[1.0]}', pointer), '{"a":[1.0]}', pointer);
    }
  });

  it("keeps the text of every number", () => {
    const text = "[9007199254740993,1e400,1.50,-0,1E2,0.1000000000000000055511151231257827]";
    assert.equal(redact(text, "/x"), text);
  });

  it("refuses what is not strict JSON, and pointers that are none", () => {
    for (const text of ["", "{", "{}{}", "[1,]", "\uFEFF{}", "NaN", "'a'"])
      assert.equal(redact(text, "/a"), null, text);
    for (const pointer of ["", "a", "/~2", "/~"]) assert.equal(redact('{"a":1}', pointer), null, pointer);
    assert.equal(redactJson(new Uint8Array([0x22, 0xc3, 0x22]), ["/a"]), null);
  });

  it("removes every occurrence of a name that stands twice", () => {
    assert.equal(redact('{"s":1,"t":2,"s":3}', "/s"), '{"t":2}');
  });

  it("leaves white space, escapes and everything else as it came", () => {
    assert.equal(redact(' { "a" : [ 1 , 2 , 3 ] ,\n "s" : 1.0 } ', "/s"), ' { "a" : [ 1 , 2 , 3 ] } ');
    assert.equal(redact('{ "s" : 1 , "t" : "\\u0041\\"" }', "/s"), '{ "t" : "\\u0041\\"" }');
    assert.equal(redact('{"a":[1,2,3],"b":{"x":{},"y":-1}}', "/a/0", "/a/2", "/b/y"), '{"a":[2],"b":{"x":{}}}');
    assert.equal(redact('{"\u00e9":"\u{1f600}","s":"\u00e9"}', "/s"), '{"\u00e9":"\u{1f600}"}');
  });

  it("finds a name however it is escaped, and under each of two parents of one name", () => {
    assert.equal(redact('{"\\u0073alary":1,"k":2}', "/salary"), '{"k":2}');
    assert.equal(redact('{"a":{"s":1},"a":{"s":2,"t":3}}', "/a/s"), '{"a":{},"a":{"t":3}}');
  });

  it("walks past any depth without a stack", () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    assert.equal(redact(`{"deep":${deep},"s":1}`, "/s"), `{"deep":${deep}}`);
  });

  it("agrees with removing members and elements anywhere in the parsed document", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.infiniteStream(fc.nat(6)), fc.nat(3), (document, choices, spaces) => {
        const path: string[] = [];
        const expected = JSON.parse(JSON.stringify(document)) as unknown;
        let at = expected;
        let remove = () => {};
        for (const choice of choices) {
          if (typeof at !== "object" || at === null) break;
          const names = Object.keys(at);
          const name = names[choice % Math.max(1, names.length)];
          if (name === undefined) break;
          path.push(name);
          const parent = at as Record<string, unknown>;
          remove = () => void (Array.isArray(parent) ? parent.splice(Number(name), 1) : delete parent[name]);
          at = parent[name];
          if (choice === 6) break;
        }
        const pointer = path.map((token) => `/${token.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
        if (pointer === "") return;
        remove();
        const redacted = redact(JSON.stringify(document, null, spaces), pointer);
        assert.deepEqual(JSON.parse(redacted ?? ""), expected);
      }),
    );
  });

  it("agrees with removing one member from the parsed document", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), (document, name) => {
        const text = JSON.stringify(document);
        const expected = JSON.parse(text) as Record<string, unknown>;
        const pointer = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
        assert.deepEqual(parsePointer(pointer), [name]);
        delete expected[name];
        assert.equal(redact(text, pointer), JSON.stringify(expected));
      }),
    );
  });
});
