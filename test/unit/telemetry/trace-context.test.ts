import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createIdGenerator } from "../../../src/telemetry/request-id.ts";
import { childTraceparent, parseTraceparent, startTrace } from "../../../src/telemetry/trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const VALID = `00-${TRACE}-00f067aa0ba902b7-01`;

test("a valid traceparent is continued with a span of our own, and tracestate is passed on", () => {
  const trace = startTrace(VALID, "vendor=1");
  assert.equal(trace.traceId, TRACE);
  assert.notEqual(trace.spanId, "00f067aa0ba902b7");
  assert.equal(trace.tracestate, "vendor=1");
  assert.deepEqual(parseTraceparent(childTraceparent(trace)), {
    traceId: TRACE,
    parentSpanId: trace.spanId,
    sampled: true,
  });
});

test("a later version with more members is read, as W3C Trace Context 3.2.4 asks", () => {
  assert.equal(parseTraceparent(`cc${VALID.slice(2)}-what-comes-later`)?.traceId, TRACE);
});

test("anything else starts a new trace and drops tracestate", () => {
  const invalid = [
    undefined,
    "",
    VALID.toUpperCase(),
    `${VALID}-00`,
    `ff${VALID.slice(2)}`,
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    ` ${VALID}`,
    `${VALID}\n`,
  ];
  for (const value of invalid) {
    const trace = startTrace(value, "vendor=1");
    assert.notEqual(trace.traceId, TRACE, String(value));
    assert.equal(trace.tracestate, "");
    assert.ok(parseTraceparent(childTraceparent(trace)));
  }
  fc.assert(fc.property(fc.string(), (value) => parseTraceparent(value) === undefined));
});

test("a tracestate that could split a header is dropped", () => {
  assert.equal(startTrace(VALID, "a=1\r\nx: y").tracestate, "");
});

test("ids differ within a generator and between generators", () => {
  const [first, second] = [createIdGenerator(), createIdGenerator()];
  const ids = new Set(Array.from({ length: 1000 }, () => [first(), second()]).flat());
  assert.equal(ids.size, 2000);
});
