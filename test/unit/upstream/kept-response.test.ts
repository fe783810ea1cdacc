import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KEPT_BYTES_MAX, KeptBytes, KeptResponse } from "../../../src/upstream/kept-response.ts";

describe("a response that is gathered", () => {
  it("is refused at the byte over its limit, however it is cut into chunks", () => {
    const kept = new KeptResponse({}, 4, new KeptBytes());
    assert.deepEqual([kept.add(Buffer.from('"a')), kept.add(Buffer.from('b"'))], [null, null]);
    assert.deepEqual(kept.changed([], undefined), Buffer.from('"ab"'));
    assert.equal(kept.add(Buffer.from(" "))?.reason, "upstream.cannot_redact");
  });

  it("is charged for its chunks as well as its bytes, and gives both back once", () => {
    const all = new KeptBytes();
    const drip = Buffer.from(" ");
    const dripping = new KeptResponse({}, KEPT_BYTES_MAX, all);
    let chunks = 0;
    let denial = dripping.add(drip);
    for (; denial === null; denial = dripping.add(drip)) chunks += 1;
    assert.equal(denial.reason, "gateway.overloaded");
    assert.ok(chunks < KEPT_BYTES_MAX / 200, `${chunks} chunks of one byte were kept`);
    dripping.release();
    dripping.release();
    const whole = Buffer.alloc(KEPT_BYTES_MAX / 2);
    const next = new KeptResponse({}, KEPT_BYTES_MAX, all);
    assert.deepEqual([next.add(whole), next.add(whole)?.reason], [null, "gateway.overloaded"]);
  });
});
