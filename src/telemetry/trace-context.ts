// In: the `traceparent` and `tracestate` headers. Out: the trace ids of this exchange and the headers to send on.
// Trusts: nothing; a header that is not exactly as W3C Trace Context Level 1 says starts a new trace.
import { randomFillSync } from "node:crypto";

export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** This gateway's own span, 16 lower-case hex digits. */
  readonly spanId: string;
  /** The caller's span, or "" where a new trace begins here. */
  readonly parentSpanId: string;
  readonly sampled: boolean;
  /** Passed on unchanged; "" where there is none or `traceparent` was not valid (section 3.3). */
  readonly tracestate: string;
}

/** Version 00 has exactly this form; a higher version may add members after it (section 3.2.4). */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Section 3.3.1.5: at least 512 characters must be passed on; longer ones only cost the upstream. */
const TRACESTATE_CHARACTERS_MAX = 512;
/** Printable ASCII and tab: what cannot split or hide a header. */
const TRACESTATE = /^[\t\x20-\x7e]*$/;
const ZERO_TRACE = "0".repeat(32);
const ZERO_SPAN = "0".repeat(16);

export interface Traceparent {
  readonly traceId: string;
  readonly parentSpanId: string;
  readonly sampled: boolean;
}

/** Reads a `traceparent` header value. Undefined for anything that W3C Trace Context section 3.2 does not allow. */
export function parseTraceparent(value: string | undefined): Traceparent | undefined {
  if (value === undefined || value.length < 55) return undefined;
  const match = TRACEPARENT.exec(value);
  if (match === null) return undefined;
  const [, version, traceId = "", parentSpanId = "", flags = "00", rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (traceId === ZERO_TRACE || parentSpanId === ZERO_SPAN) return undefined;
  return { traceId, parentSpanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Continues the caller's trace with a span of our own, or starts a new trace. */
export function startTrace(traceparent: string | undefined, tracestate: string | undefined): TraceContext {
  const parent = parseTraceparent(traceparent);
  if (parent === undefined) {
    return { traceId: randomHex(16), spanId: randomHex(8), parentSpanId: "", sampled: false, tracestate: "" };
  }
  const state = tracestate ?? "";
  return {
    traceId: parent.traceId,
    spanId: randomHex(8),
    parentSpanId: parent.parentSpanId,
    sampled: parent.sampled,
    tracestate: state.length <= TRACESTATE_CHARACTERS_MAX && TRACESTATE.test(state) ? state : "",
  };
}

/** The `traceparent` to send upstream: the same trace, with this gateway's span as the parent. */
export function childTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? "01" : "00"}`;
}

/** One call of the system's generator serves 128 spans. */
const pool = Buffer.allocUnsafe(2048);
let poolOffset = pool.length;

function randomHex(bytes: 8 | 16): string {
  if (poolOffset + bytes > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const text = pool.toString("hex", poolOffset, poolOffset + bytes);
  poolOffset += bytes;
  // An all-zero id is not valid (sections 3.2.2.3 and 3.2.2.4).
  return text === ZERO_SPAN || text === ZERO_TRACE ? randomHex(bytes) : text;
}
