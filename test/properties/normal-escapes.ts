// In: the path of a URI. Out: the same path with its percent-escapes in normal form, by RFC 3986 section 6.2.2.

/** What needs no escape has none, and hexadecimal digits are upper case. */
export function withNormalEscapes(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}/g, (escape) => {
    const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[\w.~-]/.test(char) ? char : escape.toUpperCase();
  });
}
