// Arguments against a stranger's schema: what surely does not fit is refused, and nothing in a schema makes it hang.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { checkArguments } from "../../../src/action/mcp/check-arguments.ts";

const LIMIT = { timeout: 20_000 };

/** From text: an object literal with a `then` looks like a promise to the linter. */
function conditional(condition: object): object {
  return JSON.parse(`{"if":${JSON.stringify(condition)},"then":false}`) as object;
}

suite("the arguments of a call against its tool's schema", LIMIT, () => {
  test("what fails first is named by its keyword, and no value is", () => {
    const schema = {
      type: "object",
      required: ["to"],
      properties: {
        to: { type: "string", maxLength: 5 },
        n: { allOf: [{ minimum: 1 }] },
        any: { anyOf: [{ type: "null" }] },
      },
      additionalProperties: false,
    };
    const cases: [unknown, string | null][] = [
      [{ to: "alice" }, null],
      [{ to: "secret-1" }, "/properties/to/maxLength"],
      [{ to: 7 }, "/properties/to/type"],
      [{}, "/required"],
      [{ to: "a", n: 0 }, "/properties/n/allOf/0/minimum"],
      [{ to: "a", any: 1 }, "/properties/any/anyOf"],
      [{ to: "a", other: "secret-2" }, "/additionalProperties"],
    ];
    for (const [value, fault] of cases) assert.equal(checkArguments(schema, value), fault);
  });

  test("what is not evaluated refuses nothing, also under not, oneOf and if", () => {
    for (const unknown of [
      { pattern: "^(a+)+$" },
      { format: "email" },
      { patternProperties: { "^x": false } },
      { $ref: "https://other.example/schema" },
      { $dynamicRef: "#node" },
      { $ref: "#/no/such/place" },
      { type: "text" },
    ]) {
      for (const schema of [unknown, { not: unknown }, { oneOf: [unknown, true] }, conditional(unknown)]) {
        for (const value of ["aaa!", { x: 1 }, [1], 7]) {
          assert.equal(checkArguments(schema, value), null, JSON.stringify([schema, value]));
        }
      }
    }
    for (const [keyword, given, value] of [
      ["required", "to", {}],
      ["items", [{ type: "null" }], [1]],
      ["minimum", "1", 0],
    ] as const) {
      const malformed = { [keyword]: given };
      for (const schema of [malformed, { not: malformed }]) assert.equal(checkArguments(schema, value), null);
    }
    // Where the rest is certain, it counts.
    assert.equal(checkArguments({ pattern: "a", type: "string" }, 1), "/type");
    assert.equal(checkArguments({ ...conditional({ pattern: "a" }), else: false }, "a"), "/if");
    assert.equal(checkArguments({ patternProperties: { "^x": true }, additionalProperties: false }, { y: 1 }), null);
  });

  test("a schema that would run for ever or grow without end is refused within a second", () => {
    const loop = { $ref: "#" };
    const doubling = {
      $defs: Object.fromEntries(
        Array.from({ length: 60 }, (_, n) => [
          `d${n}`,
          { allOf: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] },
        ]),
      ),
      $ref: "#/$defs/d0",
    };
    const long = Array.from({ length: 100_000 }, (_, n) => n);
    const wide = Object.fromEntries(long.map((n) => [`k${n}`, n]));
    const members = Object.fromEntries(long.slice(0, 2000).map((n) => [`k${n}`, n]));
    const hostile: [unknown, unknown][] = [
      [loop, {}],
      [{ allOf: [loop, loop] }, {}],
      [doubling, {}],
      [{ uniqueItems: true }, long],
      [{ allOf: Array.from({ length: 2000 }, () => ({ items: true })) }, long],
      [{ allOf: Array.from({ length: 2000 }, () => ({ minProperties: 1 })) }, wide],
      [{ enum: Array.from({ length: 2000 }, () => ({ a: 1 })) }, wide],
      [{ allOf: Array.from({ length: 2000 }, () => ({ const: "x".repeat(30_000) })) }, "x".repeat(30_000)],
      [{ allOf: Array.from({ length: 2000 }, () => ({ maxLength: 1_000_000 })) }, "x".repeat(1_000_000)],
      [
        { items: { required: Array.from({ length: 5000 }, () => "a") } },
        Array.from({ length: 5000 }, () => ({ a: 1 })),
      ],
      [{ items: { $ref: `#/${"a".repeat(60_000)}` } }, long],
      // What is only listed, and not looked at, costs too.
      ...[{ type: "null", ...members }, { dependentRequired: members }].map((one): [unknown, unknown] => [
        { $defs: { one }, items: { anyOf: Array.from({ length: 200 }, () => ({ $ref: "#/$defs/one" })) } },
        Array.from({ length: 100 }, () => ({})),
      ]),
    ];
    for (const [schema, value] of hostile) {
      const startedAt = performance.now();
      assert.equal(checkArguments(schema, value), "the schema takes too many steps");
      // Far beyond what it takes, for a machine that is busy; without the bound it is minutes and more.
      assert.ok(performance.now() - startedAt < 5000);
    }
  });

  test("a regular expression of a server is never run", () => {
    assert.equal(checkArguments({ pattern: "^(a|a)*$" }, `${"a".repeat(60)}!`), null);
    assert.equal(checkArguments({ propertyNames: { pattern: "^(a|a)*$" } }, { [`${"a".repeat(60)}!`]: 1 }), null);
  });

  test("a large body of plain numbers is within the bound", () => {
    const schema = { type: "object", properties: { n: { type: "array", items: { type: "number" } } } };
    assert.equal(checkArguments(schema, { n: Array.from({ length: 60_000 }, () => 1) }), null);
  });
});
