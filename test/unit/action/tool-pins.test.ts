// What a tool is known by, and what becomes of it when it changes.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { defineTool, canPinUnseen, type ToolDefinition } from "../../../src/action/mcp/tool-definition.ts";
import { FIRST_USE_MS, stateOf, ToolPins, TOOLS_MAX } from "../../../src/action/mcp/tool-pins.ts";

const NOW = 1_800_000_000_000;

function define(text: string): ToolDefinition | null {
  return defineTool(JSON.parse(text) as Record<string, unknown>, text);
}
function tool(name: string, description = "", more = ""): ToolDefinition {
  const definition = define(`{"name":${JSON.stringify(name)},"description":${JSON.stringify(description)}${more}}`);
  assert.ok(definition !== null);
  return definition;
}

suite("what a tool is known by", () => {
  test("the order of members, white space and spellings do not matter; each hashed member does", () => {
    const base = '{"name":"a","description":"d","inputSchema":{"type":"object","maximum":1.0}}';
    const same = '{ "inputSchema" : {"maximum":1e0,"t\\u0079pe":"object"}, "description":"\\u0064", "name":"a" }';
    assert.equal(define(same)?.digest, define(base)?.digest);
    assert.equal(define(base)?.text, '{"description":"d","inputSchema":{"maximum":1,"type":"object"},"name":"a"}');
    for (const other of ["title", "outputSchema", "annotations"]) {
      assert.notEqual(
        define(base.replace('"description"', `"${other}":{},"description"`))?.digest,
        define(base)?.digest,
      );
    }
    assert.notEqual(define(base.replace('"d"', '"e"'))?.digest, define(base)?.digest);
    assert.equal(define(base.replace("{", '{"_meta":{"at":1},"icons":[],'))?.digest, define(base)?.digest);
  });

  test("what two readers could read in two ways, or is too large, is no definition", () => {
    for (const text of [
      '{"name":"a","description":"x","description":"y"}',
      '{"name":"a","inputSchema":{"type":"object","type":"array"}}',
      '{"name":"a","Description":"y"}',
      '{"name":"a","de\u017fcription":"y"}',
      '{"name":"a","inputSchema":{"maximum":1e999}}',
      '{"name":""}',
      `{"name":"${"n".repeat(257)}"}`,
      `{"name":"a","description":"${"x".repeat(65_536)}"}`,
      `{"name":"a","inputSchema":${'{"not":'.repeat(60)}{}${"}".repeat(60)}}`,
    ]) {
      assert.equal(define(text), null, text.slice(0, 80));
    }
  });

  test("a schema that names another document is not self-contained", () => {
    const schema = (ref: string): ToolDefinition =>
      tool("a", "", `,"inputSchema":{"properties":{"x":{"$ref":"${ref}"}}}`);
    assert.equal(canPinUnseen(schema("#/$defs/x")), true);
    for (const ref of ["https://other.example/s", "other.json", "//other", "file:///etc/passwd"]) {
      assert.equal(canPinUnseen(schema(ref)), false, ref);
    }
    assert.equal(canPinUnseen(tool("a", "", ',"outputSchema":{"$dynamicRef":"x"}')), false);
  });
});

suite("tools that are pinned", () => {
  const stateIn = (pins: ToolPins, name: string): string => {
    const record = pins.find(name);
    return record === undefined ? "unknown" : stateOf(record);
  };

  test("those of the first whole list are pinned, and a later one waits", () => {
    const pins = new ToolPins("first_use");
    assert.deepEqual(pins.see("a", tool("a"), NOW), { name: "a", news: "pinned" });
    assert.deepEqual(pins.see("b", tool("b"), NOW), { name: "b", news: "pinned" });
    assert.deepEqual(pins.seeWhole(new Set(["a", "b"]), NOW), []);
    assert.deepEqual(pins.see("c", tool("c"), NOW), { name: "c", news: "new" });
    assert.equal(pins.see("a", tool("a"), NOW), null);
    assert.deepEqual(
      ["a", "c"].map((name) => stateIn(pins, name)),
      ["pinned", "new"],
    );
  });

  test("a first list that never ends pins for ten minutes and no longer", () => {
    const pins = new ToolPins("first_use");
    pins.see("a", tool("a"), NOW);
    assert.equal(pins.see("b", tool("b"), NOW + FIRST_USE_MS - 1)?.news, "pinned");
    assert.equal(pins.see("c", tool("c"), NOW + FIRST_USE_MS)?.news, "new");
  });

  test("what changed stays changed until it is accepted, also when it changes back", () => {
    const pins = new ToolPins("first_use");
    pins.see("a", tool("a", "one"), NOW);
    assert.equal(pins.see("a", tool("a", "two"), NOW)?.news, "changed");
    assert.equal(pins.see("a", tool("a", "one"), NOW + 2000)?.news, "changed");
    assert.equal(stateIn(pins, "a"), "changed");
    assert.equal(pins.accept("a", "op", NOW + 3000), true);
    assert.deepEqual([stateIn(pins, "a"), pins.find("a")?.pinned], ["pinned", tool("a", "one")]);
    assert.equal(pins.accept("a", "op", NOW + 3000), false, "nothing is left to accept");
  });

  test("a tool that changes with each list is written once a second at most", () => {
    const pins = new ToolPins("first_use");
    pins.see("a", tool("a"), NOW);
    pins.see("a", tool("a", "0"), NOW);
    for (let n = 1; n < 1000; n += 1) assert.equal(pins.see("a", tool("a", String(n)), NOW + n), null);
    assert.equal(pins.see("a", tool("a", "1000"), NOW + 1000)?.news, "changed");
  });

  test("a tool that vanished is told once a minute at most, comes back as it was, and is forgotten when accepted", () => {
    const pins = new ToolPins("first_use");
    pins.see("a", tool("a"), NOW);
    assert.deepEqual(pins.seeWhole(new Set(), NOW), [{ name: "a", news: "vanished" }]);
    assert.equal(pins.see("a", tool("a"), NOW)?.news, "returned");
    assert.deepEqual(pins.seeWhole(new Set(), NOW + 59_999), []);
    assert.equal(pins.seeWhole(new Set(), NOW + 60_000).length, 1);
    assert.equal(pins.accept("a", "op", NOW), true);
    assert.equal(stateIn(pins, "a"), "unknown");
  });

  test("where only what is accepted counts, nothing is pinned by being seen", () => {
    const pins = new ToolPins("accepted_only");
    assert.equal(pins.see("a", tool("a"), NOW)?.news, "new");
    pins.accept("a", "op", NOW);
    assert.deepEqual([stateIn(pins, "a"), pins.find("a")?.by], ["pinned", "op"]);
  });

  test("a tool whose schema names another document waits, also on first use", () => {
    const pins = new ToolPins("first_use");
    const remote = tool("a", "", ',"inputSchema":{"$ref":"https://other.example/s"}');
    assert.equal(pins.see("a", remote, NOW)?.news, "new");
  });

  test("more tools, or more of them in all, than one server may have are refused", () => {
    const many = new ToolPins("first_use");
    for (let n = 0; n < TOOLS_MAX; n += 1) many.see(`t${n}`, tool(`t${n}`), NOW);
    assert.equal(many.see("more", tool("more"), NOW)?.news, "refused");
    const large = new ToolPins("first_use");
    const text = "x".repeat(65_000);
    for (let n = 0; n < 129; n += 1) large.see(`t${n}`, tool(`t${n}`, text), NOW);
    assert.equal(large.see("more", tool("more", text), NOW)?.news, "refused");
    assert.equal(large.see("t1", tool("t1", `${text}y`), NOW)?.news, "refused");
    assert.equal(large.see("small", tool("small"), NOW)?.news, "pinned");
  });

  test("a copy made from a snapshot goes on as the first", () => {
    const pins = new ToolPins("first_use");
    pins.see("a", tool("a"), NOW);
    pins.seeWhole(new Set(["a"]), NOW);
    const copy = new ToolPins("first_use", structuredClone(pins.snapshot()));
    assert.equal(copy.see("b", tool("b"), NOW)?.news, "new");
    assert.equal(copy.see("a", tool("a"), NOW), null);
  });
});
