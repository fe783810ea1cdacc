// In: what is known of an exchange at its end. Out: one line of the access log.
// Trusts: its own ids and closed words; every text that somebody else chose is escaped and redacted.
import { isoTime } from "../lib/iso-time.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import { cutText, detailText, idMembers, jsonNumber } from "./entry-members.ts";
import type { AccessEntry } from "./log-entries.ts";

/** One JSON object with a line break at its end. The names and their order are closed: docs/logs.md. */
export function accessLine(entry: AccessEntry): string {
  const asked = safeJsonText(
    `"listener":${cutText(entry.listener)},"route":${cutText(entry.route)},"method":${cutText(entry.method)},` +
      `"host":${cutText(entry.host)},"path":${cutText(withoutQuery(entry.path))}`,
  );
  const peer = safeJsonText(`"source_ip":${cutText(entry.sourceIp)}`);
  return (
    `{"time":"${isoTime(entry.timeMs)}",${idMembers(entry)},${asked},"status":${jsonNumber(entry.status)},` +
    `"outcome":"${entry.outcome}","reason":"${entry.reason}","detail":${detailText(entry.detail)},` +
    `"mode":"${entry.mode}",${peer},"bytes_in":${jsonNumber(entry.bytesIn)},` +
    `"bytes_out":${jsonNumber(entry.bytesOut)},"duration_us":${jsonNumber(entry.durationUs)},` +
    `"upstream_us":${jsonNumber(entry.upstreamUs)},"http_version":${cutText(entry.httpVersion)},"error_id":"${entry.errorId}"}\n`
  );
}

/** No query value is ever logged, not even where a refused target was never split. */
function withoutQuery(path: string): string {
  const end = path.search(/[?#]/);
  return end === -1 ? path : path.slice(0, end);
}
