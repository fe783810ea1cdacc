// In: the configuration in force. Out: a copy that operators may see.
// The configuration holds the sources of secrets, never secrets; only a URL could carry one, in its userinfo or query.

const URL_WITH_SECRET = /^([a-z][a-z0-9+.-]*:\/\/)(?:[^/?#@]*@)?([^?#]*)(?:[?#].*)?$/is;

export function maskConfig(value: unknown): unknown {
  if (typeof value === "string") return maskText(value);
  if (Array.isArray(value)) return value.map(maskConfig);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maskConfig(inner)]));
}

function maskText(text: string): string {
  return text.replace(URL_WITH_SECRET, (whole, scheme: string, rest: string) => {
    const hidden = whole.length === scheme.length + rest.length ? "" : "***@";
    return `${scheme}${hidden}${rest}`;
  });
}
