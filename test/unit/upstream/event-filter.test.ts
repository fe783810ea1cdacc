import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Denial } from "../../../src/errors.ts";
import { EventFilter } from "../../../src/upstream/event-filter.ts";
import { KEPT_BYTES_MAX, KeptBytes } from "../../../src/upstream/kept-response.ts";

/** Data `no` is refused, `change` becomes two lines; all other data stays. */
const filter = (data: Buffer): Buffer | null => {
  const text = data.toString();
  return text === "no" ? null : text === "change" ? Buffer.from("one\ntwo") : data;
};

function run(stream: Buffer, cuts: readonly number[] = [], all = new KeptBytes()): string | Denial {
  const events = new EventFilter(1000, all, filter);
  let out = "";
  let from = 0;
  for (const to of [...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length]) {
    const passed = events.push(stream.subarray(from, to));
    if ("reason" in passed) return passed;
    if ("ready" in passed) assert.fail("nothing is to wait");
    out += passed.toString();
    from = to;
  }
  events.release();
  return out;
}

const line = fc.constantFrom(
  "data: x",
  "data:x",
  "data",
  "data: change",
  "data: é",
  "id: 1",
  ": c",
  "event: e",
  "dataX: no",
  "DATA: no",
  " data: no",
  "",
);
const end = fc.constantFrom("\n", "\r\n", "\r");

test("a stream is filtered the same however it is cut into chunks", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(line, end)), fc.array(fc.nat(400)), fc.boolean(), (lines, cuts, bom) => {
      const stream = Buffer.from((bom ? "\ufeff" : "") + lines.map((parts) => parts.join("")).join(""));
      assert.equal(run(stream, cuts), run(stream));
    }),
  );
});

test("lines that are not changed leave as they came, each with LF behind it, and what has no end is dropped", () => {
  const whole = "\ufeff: hello\n\nid: 1\r\ndata: x\r\n\r\nevent: e\rdata:\r\r\ndata:é\ndata\n\n";
  assert.equal(
    run(Buffer.from(`${whole}data: y\n`)),
    ": hello\n\nid: 1\ndata: x\n\nevent: e\ndata:\n\ndata:é\ndata\n\n",
  );
});

test("a line that some readers take for data and others do not never leaves", () => {
  const odd = [
    // A byte order mark, encoded twice: eventsource-parser drops it.
    "\u00ef\u00bb\u00bfdata: hidden",
    // Python's splitlines ends a line at each of these.
    ...["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e"].map((end) => `: c${end}data: hidden`),
    "event: e\u2028data: hidden",
    "id: 1\0data: hidden",
    "hidden: x",
    "hidden",
    "Data: hidden",
    " data: hidden",
  ];
  for (const line of odd) assert.equal(run(Buffer.from(`${line}\ndata: x\n\n`)), "data: x\n\n", JSON.stringify(line));
  // To a reader that knows LF alone the second line would go on in the first one.
  assert.equal(run(Buffer.from("data: [1,\r: 2,\ndata: 3]\n\n")), "data: [1,\n: 2,\ndata: 3]\n\n");
});

test("changed data stands in the place of the old, and the other fields stay", () => {
  assert.equal(
    run(Buffer.from("id: 1\r\ndata:change\r\nretry: 5\r\n\r\n")),
    "id: 1\ndata: one\ndata: two\nretry: 5\n\n",
  );
  assert.equal(
    run(Buffer.from("\ufeffdata: change\n\n")),
    "data: one\ndata: two\n\n",
    "a mark at the start hides no field",
  );
});

test("data that is refused ends the stream, in whatever lines it comes", () => {
  for (const stream of ["data: no\n\n", "data:no\r\r", "\ufeffdata: no\n\n", "id: 1\ndata: no\nevent: x\n\n"]) {
    const denial = run(Buffer.from(stream));
    assert.equal((denial as Denial).reason, "upstream.cannot_filter", JSON.stringify(stream));
  }
});

test("an event over its limit ends the stream, also one that comes byte by byte", () => {
  const large = Buffer.from(`data: ${"x".repeat(1000)}\n\n`);
  assert.equal((run(large) as Denial).reason, "upstream.cannot_filter");
  assert.equal(
    (
      run(
        large,
        Array.from({ length: 1000 }, (_, at) => at),
      ) as Denial
    ).reason,
    "upstream.cannot_filter",
  );
});

test("what is held is charged to the thread with every chunk, and given back with the event", () => {
  const all = new KeptBytes();
  assert.ok(all.take(KEPT_BYTES_MAX - 1000));
  const drip = Buffer.from("data: x\n\n");
  assert.equal((run(drip, [1, 2, 3, 4, 5], all) as Denial).reason, "gateway.overloaded");
  const roomy = new KeptBytes();
  for (let round = 0; round < 3; round++) assert.equal(run(drip, [3], roomy), drip.toString());
  assert.ok(roomy.take(KEPT_BYTES_MAX), "all of it is there again");
});

test("an event that has to wait is handed out with what came before it, and with what is behind it unread", async () => {
  const ready = Promise.resolve(null);
  const events = new EventFilter(1000, new KeptBytes(), (data) =>
    data.toString() === "2" ? { data: Buffer.from("two"), ready } : data,
  );
  const held = events.push(Buffer.from("data: 1\n\nid: x\ndata: 2\n\ndata: 3\n\nda"));
  assert.ok("ready" in held);
  assert.equal(await held.ready, null);
  const { before, data, rest } = held;
  assert.deepEqual([before, data, rest].map(String), ["data: 1\n\n", "id: x\ndata: two\n\n", "data: 3\n\nda"]);
  assert.deepEqual(events.push(rest), Buffer.from("data: 3\n\n"));
});
