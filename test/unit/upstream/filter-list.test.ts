import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ChooseItems, filterList } from "../../../src/upstream/filter-list.ts";
import { type ListShape, readLists } from "../../../src/upstream/read-lists.ts";

const TOOLS = { member: "tools", key: "name" };
const PROMPTS = { member: "prompts", key: "name" };
const name = fc.constantFrom("a", "b", "c", 'd"]', "é", "\u2028");
const member = fc.dictionary(fc.constantFrom("title", "x", "é]"), fc.jsonValue({ maxDepth: 2 }), {
  noNullPrototype: true,
});
const item = fc.oneof(
  fc.tuple(name, member).map(([own, more]) => ({ ...more, name: own })),
  member,
  fc.constantFrom(null, 1, "a", ["a"]),
);
function filtered(body: string, shapes: readonly ListShape[], choose: ChooseItems<ListShape, null>): Buffer | null {
  const bytes = Buffer.from(body);
  const message = readLists(bytes, shapes, () => null);
  return message === null ? null : filterList(bytes, message, choose);
}
const isShown = (shown: ReadonlySet<string>, value: unknown): boolean =>
  typeof value === "object" && value !== null && "name" in value && shown.has(value.name as string);

test("of any list exactly the named items stay, in their order, and all else is what it was", () => {
  fc.assert(
    fc.property(
      fc.array(item),
      fc.array(item),
      fc.uniqueArray(name),
      fc.constantFrom(0, 1, "\t"),
      (tools, prompts, names, space) => {
        const shown = new Set(names);
        const message = (t: unknown[], p: unknown[]): unknown => ({
          id: 1,
          result: { before: [1.5, "]"], tools: t, prompts: p, nextCursor: "é" },
        });
        const body = JSON.stringify(message(tools, prompts), null, space);
        const out = filtered(body, [TOOLS, PROMPTS], () => shown);
        const keep = (items: unknown[]): unknown[] => items.filter((value) => isShown(shown, value));
        assert.deepEqual(JSON.parse(String(out)), JSON.parse(JSON.stringify(message(keep(tools), keep(prompts)))));
      },
    ),
  );
});

test("an item that stays keeps its bytes, and a list that stays whole keeps its own", () => {
  const body = '{"result":{"tools":[ {"name":"a","x":1.0e2 } ,\n{"name":"b"}]}}';
  const keeping = (names: string[]): string => String(filtered(body, [TOOLS], () => new Set(names)));
  assert.equal(keeping(["a"]), '{"result":{"tools":[{"name":"a","x":1.0e2 }]}}');
  assert.equal(keeping(["a", "b"]), body);
  assert.equal(keeping([]), '{"result":{"tools":[]}}');
});

test("a message without a list, an error and a notification are not changed, and nobody is asked", () => {
  for (const body of [
    '{"id":1,"result":{}}',
    '{"id":1,"error":{"tools":[{"name":"a"}]}}',
    '{"method":"x"}',
    '{"id":1,"result":[]}',
  ]) {
    assert.equal(String(filtered(body, [TOOLS], () => assert.fail("asked"))), body);
  }
});

test("500 tools of which one stays are filtered in a few milliseconds, not in their square", () => {
  const tools = Array.from({ length: 20_000 }, (_, index) => ({ name: `t${index}`, description: "x".repeat(40) }));
  const body = JSON.stringify({ result: { tools } });
  const startedAt = performance.now();
  const out = filtered(body, [TOOLS], () => new Set(["t19999"]));
  // Measured 25 ms on a quiet machine; a look at every pair would take many seconds.
  assert.ok(performance.now() - startedAt < 2000);
  assert.deepEqual(JSON.parse(String(out)), { result: { tools: tools.slice(-1) } });
});

test("a list between letters beyond ASCII is cut at the right bytes, and an escaped or accented name is the name it stands for", () => {
  const item = '{"n\\u0061me":"é","x":"🔧 \u2028"}';
  const body = `{"ñ":"日本","result":{"é":"ß","tools":[{"name":"ü"},${item},{"name":"é","Name":"ü"}],"cacheScope":"public"}}`;
  const read: string[] = [];
  const bytes = Buffer.from(body);
  const message = readLists(bytes, [TOOLS], (_shape, name, value, text) => read.push(name, text, String(value["x"])));
  assert.ok(message !== null);
  assert.deepEqual(read, ["ü", '{"name":"ü"}', "undefined", "é", item, "🔧 \u2028"]);
  const out = filterList(bytes, message, () => new Set(["é"]));
  assert.equal(String(out), `{"ñ":"日本","result":{"é":"ß","tools":[${item}],"cacheScope":"private"}}`);
});
