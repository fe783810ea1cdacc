import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  coversScope,
  isNarrower,
  isScope,
  narrowConstraints,
  narrowDetails,
  narrowScopes,
} from "../../../src/lib/narrowing.ts";
import { deedsOf, permits } from "../../properties/deeds.ts";

test("a scope has exactly three non-empty parts and only the identifier may be a star", () => {
  for (const good of ["read:candidates:J42", "write:scores:*", "read:a.b-c_d~e:1"]) assert.ok(isScope(good), good);
  const bad = "|read|read:a|read:a:|:a:b|read::b|*:a:b|read:*:b|read:a:b:c|read:a:b*|read:a:**|read:a:b c|read:a:b\n";
  for (const text of bad.split("|")) assert.ok(!isScope(text), JSON.stringify(text));
});

test("a scope covers itself and, with a star, each identifier of the same action and resource", () => {
  assert.ok(coversScope("read:a:1", "read:a:1"));
  assert.ok(coversScope("read:a:*", "read:a:1"));
  assert.ok(coversScope("read:a:*", "read:a:*"));
  const wider = [
    ["read:a:1", "read:a:2"],
    ["read:a:1", "read:a:*"],
    ["read:a:1", "write:a:1"],
    ["read:a:*", "write:a:1"],
    ["read:a:*", "read:b:1"],
    ["read:a:*", "read:ab:1"],
    ["read:a:*", "read:a:1:2"],
    ["read:a:1", "read:a:12"],
    ["*:a:1", "*:a:1"],
    ["openid", "openid"],
  ] as const;
  for (const [parent, child] of wider) assert.ok(!coversScope(parent, child), `${parent} ${child}`);
});

test("scopes narrow to some of them, each once; the first that is not covered is named", () => {
  const narrowed = narrowScopes(["read:a:*", "write:b:1"], ["read:a:1", "read:a:1"]);
  assert.deepEqual(narrowed, { ok: true, value: ["read:a:1"] });
  assert.deepEqual(narrowScopes(["read:a:*"], []), { ok: true, value: [] });
  assert.deepEqual(narrowScopes([], ["read:a:1"]), { ok: false, error: "read:a:1" });
  assert.deepEqual(narrowScopes(["read:a:*"], ["read:a:1", "read:b:*"]), { ok: false, error: "read:b:*" });
});

const NARROWER: readonly (readonly [unknown, unknown])[] = [
  ["a", "a"],
  [null, null],
  [false, false],
  [
    ["a", "b"],
    ["b", "a"],
  ],
  [["a", "b"], ["a"]],
  [["a", "b"], "a"],
  [[1, null], null],
  [{ max: 5 }, { max: 4 }],
  [{ min: 5 }, { min: 5, max: 9 }],
  [
    { min: 1, max: 5, unit: "EUR" },
    { max: 5, min: 2, unit: "EUR", extra: true },
  ],
  [{ a: { b: ["x", "y"] } }, { a: { b: "y" } }],
  [
    [["a"], "b"],
    [["a"], "b"],
  ],
  [[], []],
  [[{ a: 1, b: 2 }], [{ b: 2, a: 1 }]],
  [{ max: "2027" }, { max: "2027" }],
];

const WIDER: readonly (readonly [unknown, unknown])[] = [
  ["a", "b"],
  ["a", ["a"]],
  ["a", { a: 1 }],
  [1, "1"],
  [0, false],
  [null, undefined],
  [["a"], []],
  [["a"], ["a", "b"]],
  [["a", "b"], "c"],
  [["a"], { 0: "a" }],
  [{ max: 5 }, { max: 6 }],
  [{ max: 5 }, { max: "4" }],
  [{ max: 5 }, { max: null }],
  [{ max: 5 }, {}],
  [{ max: 5 }, 4],
  [{ min: 5 }, { min: 4 }],
  [{ max: 5, min: 1 }, { max: 5 }],
  [{ a: { b: 1 } }, { a: 1 }],
  [{ a: 1 }, [1]],
  [{ maximum: 5 }, { maximum: 4 }],
  [{ max: "2027" }, { max: "2026" }],
  [{ max: [5, 6] }, { max: 5 }],
  [[["a"], "b"], ["b"]],
  [[["a"], "b"], [["a"]]],
  [[{ a: 1 }], [{ a: 1, b: 2 }]],
  [JSON.parse('{"__proto__":1}'), {}],
  [{ toString: 1 }, {}],
];

test("a value narrows only by the one rule; a change that is not known to narrow is refused", () => {
  for (const [parent, child] of NARROWER) assert.ok(isNarrower(parent, child), JSON.stringify([parent, child]));
  for (const [parent, child] of WIDER) assert.ok(!isNarrower(parent, child), JSON.stringify([parent, child]));
});

test("every constraint of the parent stands in the child; the first that is lost or widened is named", () => {
  const parent = { job_id: ["J42", "J43"], amount: { max: 100 } };
  assert.ok(narrowConstraints(parent, { job_id: "J42", amount: { max: 50, min: 1 }, region: "eu" }).ok);
  assert.ok(narrowConstraints({}, { anything: 1 }).ok);
  assert.deepEqual(narrowConstraints(parent, { amount: { max: 50 } }), { ok: false, error: "job_id" });
  assert.deepEqual(narrowConstraints(parent, { job_id: "J42", amount: { max: 101 } }), { ok: false, error: "amount" });
});

test("each authorization detail is covered by one of the parent of the same type", () => {
  const parent = [
    { type: "payment", actions: ["initiate", "status"], limit: { max: 100 } },
    { type: "files", locations: ["https://a"] },
  ];
  assert.ok(narrowDetails(parent, [{ type: "payment", actions: ["status"], limit: { max: 1 } }]).ok);
  assert.ok(narrowDetails(parent, []).ok);
  const wrong = [
    { type: "files", actions: ["status"], limit: { max: 1 } },
    { type: "payment", actions: ["status"], limit: { max: 101 } },
    { type: "payment", actions: ["cancel"], limit: { max: 1 } },
    { type: "other" },
    { actions: ["status"] },
    "payment",
    null,
  ];
  for (const entry of wrong) {
    assert.deepEqual(narrowDetails(parent, [parent[1], entry]), { ok: false, error: { index: 1 } });
  }
  assert.ok(!narrowDetails([{ a: 1 }], [{ a: 1 }]).ok, "a detail without a type is nobody's");
  assert.ok(!narrowDetails([{ type: ["a", "b"] }], [{ type: "a" }]).ok, "a type is one text, not a choice");
});

test("a value that is nested beyond every limit is refused, not followed", () => {
  const deep = JSON.parse(`${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`) as unknown;
  assert.equal(isNarrower(deep, deep), false);
  const list = JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`) as unknown;
  assert.equal(isNarrower(list, list), false);
});

const scalar = fc.constantFrom<unknown>("a", "b", "c", 0, 1, 2, true, false, null);
const { value } = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(scalar, { maxLength: 3 }),
    tie("object"),
    fc.array(tie("value"), { maxLength: 2 }),
  ),
  object: fc.dictionary(fc.constantFrom("max", "min", "a", "b"), tie("value"), { maxKeys: 3 }),
}));
/** A value and another one that is often a little narrower or wider. */
const child = (parent: unknown): fc.Arbitrary<unknown> => {
  const others: fc.Arbitrary<unknown>[] = [fc.constant(parent), value];
  if (Array.isArray(parent))
    others.push(fc.subarray(parent as unknown[]), fc.constantFrom(null, ...(parent as unknown[])));
  else if (typeof parent === "number") others.push(fc.constant(parent - 1), fc.constant(parent + 1));
  else if (typeof parent === "object" && parent !== null) {
    const members = Object.entries(parent).map(([name, member]) =>
      child(member).map((changed) => [name, changed] as const),
    );
    const more = fc.dictionary(fc.constantFrom("max", "min", "a", "b", "c"), value, { maxKeys: 1 });
    others.push(fc.tuple(more, ...members).map(([first, ...rest]) => ({ ...first, ...Object.fromEntries(rest) })));
    others.push(
      fc
        .tuple(...members)
        .chain((all) => fc.subarray([...all]))
        .map((some) => Object.fromEntries(some)),
    );
  }
  return fc.oneof(...others);
};

test("what is narrower is so by its meaning: nothing that it permits was forbidden before", () => {
  let accepted = 0;
  const pairs = value.chain((parent) => fc.tuple(fc.constant(parent), child(parent)));
  fc.assert(
    fc.property(pairs, fc.array(value, { maxLength: 8 }), ([parent, narrower], more) => {
      if (!isNarrower(parent, narrower)) return;
      accepted++;
      const deeds = [narrower, parent, ...more].flatMap(deedsOf);
      for (const deed of deeds) {
        assert.ok(!permits(narrower, deed) || permits(parent, deed), JSON.stringify({ parent, narrower, deed }));
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(accepted > 300, String(accepted));
});

test("narrower is reflexive and transitive, and both ways only for what permits the same", () => {
  let chained = 0;
  const triples = value.chain((first) =>
    child(first).chain((second) => child(second).map((third) => [first, second, third] as const)),
  );
  fc.assert(
    fc.property(triples, ([first, second, third]) => {
      assert.ok(isNarrower(first, first));
      if (!isNarrower(first, second)) return;
      if (isNarrower(second, third)) {
        chained++;
        assert.ok(isNarrower(first, third), JSON.stringify([first, second, third]));
      }
      if (!isNarrower(second, first)) return;
      for (const deed of [...deedsOf(first), ...deedsOf(second)]) {
        assert.equal(permits(first, deed), permits(second, deed));
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(chained > 100, String(chained));
});
