// In: what is known of an exchange at its end. Out: one line of the access log.
// Trusts: nothing; the finished line is escaped and redacted as a whole.
import { isoTime } from "../lib/iso-time.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import { DETAIL_CHARACTERS_MAX, idMembers, jsonNumber, jsonText } from "./entry-members.ts";
import type { AccessEntry } from "./log-entries.ts";

/** One JSON object with a line break at its end. The names and their order are closed: docs/logs.md. */
export function accessLine(entry: AccessEntry): string {
  const json =
    `{"time":"${isoTime(entry.timeMs)}",${idMembers(entry)},` +
    `"listener":${jsonText(entry.listener)},"route":${jsonText(entry.route)},"method":${jsonText(entry.method)},` +
    `"host":${jsonText(entry.host)},"path":${jsonText(withoutQuery(entry.path))},"status":${jsonNumber(entry.status)},` +
    `"outcome":"${entry.outcome}","reason":"${entry.reason}","detail":${jsonText(entry.detail, DETAIL_CHARACTERS_MAX)},` +
    `"mode":"${entry.mode}","source_ip":${jsonText(entry.sourceIp)},"bytes_in":${jsonNumber(entry.bytesIn)},` +
    `"bytes_out":${jsonNumber(entry.bytesOut)},"duration_us":${jsonNumber(entry.durationUs)},` +
    `"upstream_us":${jsonNumber(entry.upstreamUs)},"http_version":${jsonText(entry.httpVersion)},"error_id":${jsonText(entry.errorId)}}`;
  return `${safeJsonText(json)}\n`;
}

/** No query value is ever logged, not even where a refused target was never split. */
function withoutQuery(path: string): string {
  const end = path.search(/[?#]/);
  return end === -1 ? path : path.slice(0, end);
}
