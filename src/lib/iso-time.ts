// In: Unix milliseconds. Out: RFC 3339 in UTC with milliseconds. The last one is remembered: an exchange asks several times.

let lastMs = Number.NaN;
let lastText = "";

/** "" for what is no time, since a broken measure must not break a log line. */
export function isoTime(timeMs: number): string {
  const wholeMs = Math.floor(timeMs);
  if (wholeMs !== lastMs) {
    lastMs = wholeMs;
    lastText = Number.isFinite(wholeMs) ? new Date(wholeMs).toISOString() : "";
  }
  return lastText;
}
