// In: one line of JSON text, as JSON.stringify or string building made it. Out: the same document, safe to show
// in a terminal and free of credentials. Trusts: that the text is well-formed JSON; it stays so.
//
// Works on the finished line, so no field can be forgotten: outside of its strings JSON text has none of
// these characters, and inside of them `\uXXXX` means the same character (RFC 8259 section 7).

/**
 * DEL and C1 controls (terminals act on them), format characters (bidi marks and embeddings, zero-width ones, tags), line
 * and paragraph separators, lone surrogates, and whatever else Unicode lets a viewer leave out (fillers, variation
 * selectors): all can hide or reorder what a reader sees.
 */
const UNSAFE = /[\u007f-\u009f\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** One pass over the line decides whether the slow replacements run. */
const UNSAFE_ONCE = /[\u007f-\uffff]/;

/** Compact JWS or JWE: base64url of `{"`, `{ ` or `{` and a line break, then at least one more part. */
const COMPACT_JOSE = /e(?:yJ|y[A-D]|w[k-r0-3])[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*/g;
/** An Authorization value, also percent-encoded or with escaped white space; before it may stand the `n` of an escape. */
const AUTHORIZATION = /(bearer|dpop|basic)((?:\s|%20|\+|\\[tnr])+)[^\s"\\,&;]+/gi;
const CREDENTIAL_ONCE = /e(?:yJ|y[A-D]|w[k-r0-3])[\w-]*\.|(?:bearer|dpop|basic)(?:\s|%20|\+|\\[tnr])/i;

/** Escapes what could forge or hide text in a viewer and redacts what looks like a credential. */
export function safeJsonText(json: string): string {
  let text = json;
  if (CREDENTIAL_ONCE.test(text)) {
    text = text.replace(COMPACT_JOSE, "[redacted]").replace(AUTHORIZATION, "$1$2[redacted]");
  }
  return UNSAFE_ONCE.test(text) ? text.replace(UNSAFE, escapeCharacter) : text;
}

/** One escape for each code unit. */
function escapeCharacter(character: string): string {
  let escaped = "";
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return escaped;
}
