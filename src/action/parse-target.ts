// In: the request target as it stood on the request line, and the Host header. Out: a canonical target, or a denial.
// Rejects rather than repairs: a gateway that mends a path judges another one than the upstream serves.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";

export interface Target {
  /** The raw path, exactly as received: the bytes that are forwarded. */
  readonly path: string;
  /** `?` and the raw query, or "". */
  readonly search: string;
  /** Decoded path segments, without the leading empty one. `/a/` is `["a", ""]`. */
  readonly segments: readonly string[];
  /** True where a segment holds a `/` or `\` that was percent-encoded; only some routes accept that. */
  readonly encodedSlash: boolean;
  readonly query: Readonly<Record<string, string>>;
}

/** Longer targets than this are refused before any other work. */
export const TARGET_BYTES_MAX = 8192;
export const SEGMENTS_MAX = 64;
export const QUERY_PARAMETERS_MAX = 128;

// RFC 3986 pchar and "/", "?" in the query: everything else (space, control, non-ASCII, `\`, `#`, `"`, `<`, `|` …) is odd.
const PATH_BYTES = /^[A-Za-z0-9\-._~!$&'()*+,;=:@%/]+$/;
const QUERY_BYTES = /^[A-Za-z0-9\-._~!$&'()*+,=:@%/?[\]]*$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/**
 * Escapes of control bytes, and of what needs none (RFC 3986 section 2.3: letters, digits, `-._~`): each makes one path
 * look like another, and `/%61ts` would match a route that `strip_prefix: /ats` then does not recognise.
 */
const FORBIDDEN_ESCAPE = /%(?:[01][0-9A-Fa-f]|7[Ff]|2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])/;
const ENCODED_SLASH = /%(?:2[Ff]|5[Cc])/;
/** What is still an escape after decoding would be decoded once more by a careless upstream. */
const DOUBLE_ESCAPE = /%25[0-9A-Fa-f]{2}/;
/** `..;x` is a parent step for servers that know path parameters. */
const DOT_SEGMENT = /(?:^|\/)\.{1,2}(?:;[^/]*)?(?:\/|$)/;
/** The same inside of a decoded segment: `..%2fadmin` and `..%3bx` are parent steps for servers that decode first. */
const DECODED_DOT_SEGMENT = /(?:^|[/\\])\.{1,2}(?:;[^/\\]*)?(?:[/\\]|$)/;
// biome-ignore lint: the control characters are the point.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const NO_QUERY: Readonly<Record<string, string>> = Object.freeze(Object.create(null) as Record<string, string>);

/**
 * Parses a request target in origin form, or in absolute form that agrees with Host (RFC 9112 section 3.2).
 * `host` is the one Host header, already checked to be present once.
 */
export function parseTarget(raw: string, host: string): Result<Target, Denial> {
  if (raw.length > TARGET_BYTES_MAX) return bad("longer than the limit");
  const origin = originForm(raw, host);
  if (origin === null) return bad("neither an absolute path nor an absolute URL of this host");
  const mark = origin.indexOf("?");
  const path = mark === -1 ? origin : origin.slice(0, mark);
  const search = mark === -1 ? "" : origin.slice(mark);
  if (!PATH_BYTES.test(path)) return bad("a byte that does not belong into a path");
  if (path.includes("//")) return bad("an empty segment");
  if (DOT_SEGMENT.test(path)) return bad("a dot segment");

  const segments = path.slice(1).split("/");
  if (segments.length > SEGMENTS_MAX) return bad("too many segments");
  let encodedSlash = false;
  if (path.includes("%")) {
    if (BAD_ESCAPE.test(path)) return bad("a broken percent-escape");
    if (FORBIDDEN_ESCAPE.test(path)) return bad("an escape of a control byte, or of a character that needs none");
    if (DOUBLE_ESCAPE.test(path)) return bad("a percent-escape of a percent-escape");
    encodedSlash = ENCODED_SLASH.test(path);
    for (let index = 0; index < segments.length; index++) {
      const decoded = decode(segments[index] ?? "");
      if (decoded === null || CONTROL.test(decoded)) return bad("an escape that is not printable UTF-8");
      if (DECODED_DOT_SEGMENT.test(decoded)) return bad("a dot segment behind an escape");
      segments[index] = decoded;
    }
  }
  if (search === "" || search === "?") return ok({ path, search, segments, encodedSlash, query: NO_QUERY });
  const query = parseQuery(search.slice(1));
  if (!query.ok) return query;
  return ok({ path, search, segments, encodedSlash, query: query.value });
}

/** `application/x-www-form-urlencoded` pairs. A name that occurs twice is refused: parsers disagree on which one counts. */
export function parseQuery(raw: string): Result<Readonly<Record<string, string>>, Denial> {
  if (!QUERY_BYTES.test(raw)) return err(deny("exchange.bad_query", "a byte that does not belong into a query"));
  if (BAD_ESCAPE.test(raw)) return err(deny("exchange.bad_query", "a broken percent-escape"));
  const query = Object.create(null) as Record<string, string>;
  const pairs = raw.split("&");
  if (pairs.length > QUERY_PARAMETERS_MAX) return err(deny("exchange.bad_query", "too many parameters"));
  for (const pair of pairs) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode((equals === -1 ? pair : pair.slice(0, equals)).replaceAll("+", " "));
    const value = equals === -1 ? "" : decode(pair.slice(equals + 1).replaceAll("+", " "));
    if (name === null || value === null) return err(deny("exchange.bad_query", "an escape that is not UTF-8"));
    if (CONTROL.test(name)) return err(deny("exchange.bad_query", "a control character in a name"));
    if (name in query) return err(deny("exchange.bad_query", "a parameter occurs twice"));
    query[name] = value;
  }
  return ok(query);
}

function originForm(raw: string, host: string): string | null {
  if (raw.startsWith("/")) return raw;
  const scheme = /^https?:\/\//i.exec(raw)?.[0];
  if (scheme === undefined) return null;
  const start = raw.indexOf("/", scheme.length);
  if (start === -1 || raw.slice(scheme.length, start).toLowerCase() !== host.toLowerCase()) return null;
  return raw.slice(start);
}

function decode(text: string): string | null {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null; // URIError: not UTF-8
  }
}

function bad(detail: string): Result<never, Denial> {
  return err(deny("exchange.bad_target", detail));
}
