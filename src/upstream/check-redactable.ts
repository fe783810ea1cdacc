// In: the head of a tool's response. Out: null where its body can be redacted, or the denial. Trusts: nothing.
import { type Denial, deny } from "../errors.ts";
import type { ParsedHeaders } from "./header-rules.ts";

/** Whole, identity-encoded JSON in UTF-8 (RFC 8259 section 8.1): anything else could hide the value to remove. */
export function checkRedactable(status: number, headers: ParsedHeaders): Denial | null {
  if (status === 206 || headers["content-range"] !== undefined)
    return deny("upstream.cannot_redact", "partial content");
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") return deny("upstream.cannot_redact", "encoded");
  if (headers["content-length"] === "0") return null;
  const type = headers["content-type"];
  return typeof type === "string" && isUtf8Json(type) ? null : deny("upstream.cannot_redact", "not JSON");
}

function isUtf8Json(contentType: string): boolean {
  if (contentType === "application/json") return true;
  const [essence = "", ...parameters] = contentType.toLowerCase().split(";");
  const type = essence.trim();
  if (type !== "application/json" && !/^application\/[a-z0-9!#$&^_.+-]+\+json$/.test(type)) return false;
  return parameters.every((parameter) => {
    const [name = "", value = ""] = parameter.split("=");
    return name.trim() !== "charset" || value.trim().replaceAll('"', "") === "utf-8";
  });
}
