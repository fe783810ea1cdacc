// In: JSON Schemas of the evaluated keywords, and values. Out: the property of the arguments' check.
// The model: ajv, the reference of its field, with draft 2020-12.
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { checkArguments } from "../../src/action/mcp/check-arguments.ts";
import { ACCEPTED, property } from "./property.ts";

const NAMES = ["a", "b", "c", "constructor", "toString"];
const name = fc.constantFrom(...NAMES);
const number = fc.constantFrom(-1, 0, 1, 2, 3, 0.5, 1.5, 10);
const count = fc.integer({ min: 0, max: 3 });
const text = fc.constantFrom("", "a", "ab", "\u{1f600}", "\u{1f600}a", "é");
const type = fc.constantFrom("null", "boolean", "object", "array", "number", "integer", "string");
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.oneof(number, text, fc.boolean(), fc.constant(null)),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(name, tie("value"), { maxKeys: 3 }),
  ),
}));

const { schema } = fc.letrec<{ schema: unknown }>((tie) => {
  const sub = tie("schema");
  const some = fc.array(sub, { minLength: 1, maxLength: 3 });
  const names = fc.uniqueArray(name, { maxLength: 2 });
  return {
    schema: fc.oneof(
      { maxDepth: 2 },
      fc.boolean(),
      // A few keywords at a time: with more of them, hardly any value fits.
      someOf({
        type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })),
        const: value,
        enum: fc.array(value, { minLength: 1, maxLength: 3 }),
        minimum: number,
        maximum: number,
        exclusiveMinimum: number,
        exclusiveMaximum: number,
        multipleOf: fc.constantFrom(0.5, 1, 2),
        minLength: count,
        maxLength: count,
        minItems: count,
        maxItems: count,
        uniqueItems: fc.boolean(),
        items: sub,
        prefixItems: some,
        properties: fc.dictionary(name, sub, { maxKeys: 3 }),
        required: names,
        additionalProperties: sub,
        propertyNames: sub,
        minProperties: count,
        maxProperties: count,
        dependentRequired: fc.dictionary(name, names, { maxKeys: 2 }),
        allOf: some,
        anyOf: some,
        oneOf: some,
        not: sub,
        if: sub,
        // An object literal with a `then` looks like a promise to the linter.
        ["then" as string]: sub,
        else: sub,
        $ref: fc.constantFrom("#/$defs/x", "#/$defs/a~1b"),
      }),
    ),
  };
});
const root = fc.record({ schema, x: schema, y: schema, value });

function someOf(keywords: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<unknown> {
  const one = fc.oneof(...Object.entries(keywords).map(([key, given]) => given.map((made) => [key, made] as const)));
  return fc.array(one, { minLength: 1, maxLength: 3 }).map((some) => Object.fromEntries(some));
}

export const TOOL_ARGUMENTS = [
  property<{ schema: unknown; x: unknown; y: unknown; value: unknown }>({
    name: "arguments.ajv",
    says: "of the keywords that are evaluated, it says what ajv says",
    inputs: root,
    check({ schema: top, x, y, value: given }) {
      const whole = { allOf: [top], $defs: { x: withoutRef(x), "a/b": withoutRef(y) } };
      const ajv = new Ajv2020({ strict: false, validateFormats: false });
      const expected = ajv.validate(whole, given);
      const fault = checkArguments(whole, given);
      assert.equal(fault === null, expected, `${fault} for ${JSON.stringify([whole, given])}`);
      return expected ? ACCEPTED : "does not fit";
    },
    runs: 60,
  }),
];

/** A definition that leads to itself is bounded here and not there. */
function withoutRef(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(withoutRef);
  if (typeof part !== "object" || part === null) return part;
  return Object.fromEntries(
    Object.entries(part).flatMap(([key, one]) =>
      key === "$ref" && typeof one === "string" ? [] : [[key, withoutRef(one)]],
    ),
  );
}
