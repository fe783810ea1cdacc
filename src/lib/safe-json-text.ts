// In: one line of JSON text, as JSON.stringify or string building made it. Out: the same document, safe to show
// in a terminal and free of credentials. Trusts: that the text is well-formed JSON; it stays so.
//
// Works on the finished line, so no field can be forgotten: outside of its strings JSON text has none of
// these characters, and inside of them `\uXXXX` means the same character (RFC 8259 section 7).

/**
 * DEL and C1 controls (terminals act on them), zero-width and bidi marks, line and paragraph separators,
 * bidi embeddings and isolates, the byte order mark, and lone surrogates: all can hide or reorder what a reader sees.
 */
const UNSAFE =
  /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
/** One pass over the line decides whether the slow replacements run. */
const UNSAFE_ONCE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]/;

/** Compact JWS or JWE: base64url of `{"`, `{ ` or `{` and a line break, then at least one more part. */
const COMPACT_JOSE = /e(?:yJ|y[A-D]|w[k-r0-3])[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*/g;
/** An Authorization value, also percent-encoded or with escaped white space. */
const AUTHORIZATION = /\b(bearer|dpop|basic)((?:\s|%20|\+|\\[tnr])+)[^\s"\\,&;]+/gi;
const CREDENTIAL_ONCE = /e(?:yJ|y[A-D]|w[k-r0-3])[\w-]*\.|(?:bearer|dpop|basic)(?:\s|%20|\+|\\[tnr])/i;

/** Escapes what could forge or hide text in a viewer and redacts what looks like a credential. */
export function safeJsonText(json: string): string {
  let text = json;
  if (CREDENTIAL_ONCE.test(text)) {
    text = text.replace(COMPACT_JOSE, "[redacted]").replace(AUTHORIZATION, "$1$2[redacted]");
  }
  return UNSAFE_ONCE.test(text) ? text.replace(UNSAFE, escapeCharacter) : text;
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
