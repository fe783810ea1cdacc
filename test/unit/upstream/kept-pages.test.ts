// Messages that come again: what was read of one is what would be read of it anew, and no other message gets it.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KeptPages } from "../../../src/upstream/kept-pages.ts";
import { type ListShape, readLists } from "../../../src/upstream/read-lists.ts";

const TOOLS = { member: "tools", key: "name" };
const PROMPTS = { member: "prompts", key: "name" };
const LARGE = "x".repeat(5000);

type Facts = { readonly value: unknown; readonly text: string };
const readNew = (bytes: Buffer, shapes: readonly ListShape[]) =>
  readLists<ListShape, Facts>(bytes, shapes, (_shape, _name, value, text) => ({ value, text }));
const pageOf = (items: string, more = ""): Buffer =>
  Buffer.from(`{"id":7,"result":{"tools":[${items}],"pad":"${LARGE}"${more}}}`);

/** As a hostile server might write them: names twice, in other spellings, no JSON at all. */
const item = fc.constantFrom(
  '{"name":"a"}',
  '{"name":"b","x":1.0e2}',
  '{"name":"a","Name":"b"}',
  '{"name":"a","name":"b"}',
  '{"n\\u0061me":"é"}',
  '{"title":"none"}',
  "null",
  '{"name":',
);
const more = fc.constantFrom(
  "",
  ',"prompts":[{"name":"p"}]',
  ',"cacheScope":"public"',
  ',"Tools":[]',
  ',"nextCursor":"ü"',
  ',"tools":1',
);
const page = fc.tuple(fc.array(item, { maxLength: 3 }), more).map(([items, end]) => pageOf(items.join(","), end));
const shapes = fc.constantFrom([TOOLS], [TOOLS, PROMPTS]);

test("whatever came before, a message is read as if it were the first", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(page, shapes), { maxLength: 12 }), (messages) => {
      const pages = new KeptPages<ListShape, Facts>();
      for (const [bytes, wanted] of [...messages, ...messages]) {
        const key = wanted.map(({ member }) => member).join(" ");
        assert.deepEqual(
          pages.read(key, Buffer.from(bytes), () => readNew(bytes, wanted)),
          readNew(bytes, wanted),
        );
      }
    }),
  );
});

test("a message is read once, and one that differs in a single byte or is asked in another way is read anew", () => {
  const pages = new KeptPages<ListShape, Facts>();
  let reads = 0;
  const read = (bytes: Buffer, key = "tools") =>
    pages.read(key, bytes, () => {
      reads += 1;
      return readNew(bytes, [TOOLS]);
    });
  const first = pageOf('{"name":"a"}');
  const message = read(first);
  assert.equal(read(Buffer.from(first)), message);
  assert.equal(reads, 1);
  for (const at of [first.indexOf('"a"') + 1, first.length - 10]) {
    const other = Buffer.from(first);
    other[at] = 0x62;
    assert.notEqual(read(other), message);
  }
  assert.notEqual(read(first, "tools prompts"), message);
  assert.equal(reads, 4);
});

test("who gave a message may write over its bytes", () => {
  const pages = new KeptPages<ListShape, Facts>();
  const bytes = pageOf('{"name":"a"}');
  pages.read("tools", bytes, () => readNew(bytes, [TOOLS]));
  bytes[bytes.indexOf('"a"') + 1] = 0x62;
  const named = pages.read("tools", bytes, () => readNew(bytes, [TOOLS]))?.lists[0]?.named;
  assert.deepEqual(
    named?.map(({ name }) => name),
    ["b"],
  );
});

test("what could not be read, holds no list or is small is not kept", () => {
  for (const body of [`{"a":"${LARGE}"`, `{"result":{"x":"${LARGE}"}}`, '{"result":{"tools":[]}}']) {
    const pages = new KeptPages<ListShape, Facts>();
    const bytes = Buffer.from(body);
    let reads = 0;
    const read = () =>
      pages.read("tools", bytes, () => {
        reads += 1;
        return readNew(bytes, [TOOLS]);
      });
    assert.deepEqual(read(), read());
    assert.equal(reads, 2, body.slice(0, 20));
  }
});

test("pages without end push out the one that was used longest ago, and one that is too large is not kept", () => {
  const pages = new KeptPages<ListShape, Facts>();
  const readAnew: number[] = [];
  const read = (index: number, bytes: number): void => {
    const body = Buffer.from(`{"result":{"tools":[{"name":"t${index}"}],"pad":"${"x".repeat(bytes)}"}}`);
    pages.read("tools", body, () => {
      readAnew.push(index);
      return readNew(body, [TOOLS]);
    });
  };
  for (let index = 0; index < 100; index += 1) {
    read(index, 100_000);
    read(0, 100_000);
  }
  read(100, 2_000_000);
  assert.equal(readAnew.filter((index) => index === 0).length, 1, "what is used again and again stays");
  readAnew.length = 0;
  for (const [index, bytes] of [
    [0, 100_000],
    [99, 100_000],
    [50, 100_000],
    [100, 2_000_000],
  ] as const)
    read(index, bytes);
  assert.deepEqual(readAnew, [50, 100]);
});
