// In: a proof's `htu`. Out: its canonical form without query and fragment, or undefined.
// RFC 9449 section 4.3 compares after the normalisation of RFC 3986 sections 6.2.2 and 6.2.3.
// Written out, not by the WHATWG parser, which repairs what is not a URI (backslashes, white space, odd hosts).

/** scheme, authority without userinfo, path; query and fragment are ignored, as RFC 9449 section 4.3 says. */
const HTTP_URI =
  /^(https?):\/\/([A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?((?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?)(?:\?[\x21-\x7e]*)?$/i;
const PERCENT_OCTET = /%[0-9A-Fa-f]{2}/g;
const UNRESERVED = /[A-Za-z0-9._~-]/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: "80", https: "443" };

export function normaliseHtu(htu: string): string | undefined {
  const hash = htu.indexOf("#");
  const match = HTTP_URI.exec(hash < 0 ? htu : htu.slice(0, hash));
  if (match === null) return undefined;
  const scheme = (match[1] ?? "").toLowerCase();
  const host = (match[2] ?? "").toLowerCase();
  const port = match[3] ?? "";
  const authority = port === "" || port === DEFAULT_PORTS[scheme] ? host : `${host}:${port}`;
  const path = removeDotSegments((match[4] ?? "").replace(PERCENT_OCTET, normaliseOctet));
  return `${scheme}://${authority}${path === "" ? "/" : path}`;
}

/** RFC 3986 sections 6.2.2.1 and 6.2.2.2. */
function normaliseOctet(octet: string): string {
  const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16));
  return UNRESERVED.test(character) ? character : octet.toUpperCase();
}

/** RFC 3986 section 5.2.4, for a path that is empty or starts with a slash. */
function removeDotSegments(path: string): string {
  if (!path.includes("/.")) return path;
  const segments = path.split("/").slice(1);
  const kept: string[] = [];
  for (const [index, segment] of segments.entries()) {
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
    const isLast = index === segments.length - 1;
    if (isLast && (segment === "." || segment === "..")) kept.push("");
  }
  return `/${kept.join("/")}`;
}
