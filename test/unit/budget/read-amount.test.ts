// The argument that a budget adds up: a non-negative safe integer in minor units, or a refusal.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePointer, readAmount } from "../../../src/budget/read-amount.ts";

const at = (value: unknown, pointer = "/amount", required = true) =>
  readAmount(value, parsePointer(pointer) ?? [], required);

test("a non-negative safe integer is the amount, wherever the pointer finds it", () => {
  assert.deepEqual(at({ amount: 0 }), { amount: 0 });
  assert.deepEqual(at({ amount: Number.MAX_SAFE_INTEGER }), { amount: Number.MAX_SAFE_INTEGER });
  assert.deepEqual(at({ "a/b": [{}, { "m~n": 12 }] }, "/a~1b/1/m~0n"), { amount: 12 });
});

test("anything else is a fault", () => {
  for (const amount of [-1, 1.5, 2 ** 53, 1e300, "1", "", true, null, [], [1], {}, { valueOf: 1 }]) {
    assert.ok("fault" in at({ amount }), JSON.stringify(amount));
    assert.ok("fault" in at({ amount }, "/amount", false), JSON.stringify(amount));
  }
});

test("an argument that is not there is a fault where it is required, and else counts nothing", () => {
  for (const value of [{}, null, { Amount: 1 }, { other: { amount: 1 } }]) {
    assert.deepEqual(at(value), { fault: "absent" });
    assert.deepEqual(at(value, "/amount", false), { amount: 0 });
  }
});

test("a text or a number on the way to it is a fault, also where it is not required", () => {
  for (const value of ["x", 7, { order: "amount=9" }, { order: null }]) {
    assert.ok("fault" in at(value, "/order/amount", false), JSON.stringify(value));
  }
});

test("no prototype is an argument, and an index has one spelling", () => {
  assert.deepEqual(at({}, "/constructor/length"), { fault: "absent" });
  assert.deepEqual(at([5], "/length"), { fault: "absent" });
  assert.deepEqual(at([5], "/00"), { fault: "absent" });
  assert.deepEqual(at([5], "/0"), { amount: 5 });
});

test("a pointer names a part, by RFC 6901", () => {
  for (const text of ["", "amount", "/a~2", "/a~", "#/a"]) assert.equal(parsePointer(text), null, text);
  assert.deepEqual(parsePointer("/a~01/~1/"), ["a~1", "/", ""]);
});
