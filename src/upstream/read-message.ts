// In: the bytes of one JSON-RPC message that a server sent. Out: what kind it is and the text of what it says, for policy to
// judge; or why that cannot be known. Trusts: nothing that the tool sends.
import { type Denial, deny } from "../errors.ts";
import { isObject, memberOf, parseStrictObject } from "../lib/strict-json.ts";
import { skipSpace, skipValue } from "./redact-json.ts";
import { DEPTH_MAX, hasVariant, valueOf } from "./redact-message.ts";

export type MessageKind = "result" | "error" | "request" | "notification";

export interface ServerMessage {
  readonly kind: MessageKind;
  /** An error, or the result of a tool that says so itself. */
  readonly isError: boolean;
  /** Of a request or notification. */
  readonly method: string | undefined;
  /** The member that holds what it says, and its text as the server wrote it; undefined where it says nothing. */
  readonly member: "result" | "error" | "params";
  readonly text: string | undefined;
}

const NAMES = ["id", "method", "params", "result", "error"] as const;
/** One of them says what the message is. */
const KINDS = ["method", "result", "error"] as const;

export function readMessage(body: Buffer): ServerMessage | Denial {
  const message = parseStrictObject(body, DEPTH_MAX);
  if (message === undefined) return refuse("not one strict JSON object");
  if (hasVariant(message, NAMES)) return refuse("a member in another spelling");
  const said = KINDS.filter((name) => Object.hasOwn(message, name));
  const [only] = said;
  if (only === undefined || said.length > 1) return refuse("not one message");
  const method = memberOf(message, "method");
  if (only === "method" && typeof method !== "string") return refuse("a method that is no text");
  const result = memberOf(message, "result");
  const member = only === "method" ? "params" : only;
  return {
    kind: only === "method" ? (Object.hasOwn(message, "id") ? "request" : "notification") : only,
    isError: only === "error" || (isObject(result) && memberOf(result, "isError") === true),
    method: typeof method === "string" ? method : undefined,
    member,
    text: Object.hasOwn(message, member) ? textOf(body.toString("utf8"), member) : undefined,
  };
}

/** Each name stands once in `text`: that was checked before. */
function textOf(text: string, member: string): string {
  const start = valueOf(text, skipSpace(text, 0), member);
  return text.slice(start, skipValue(text, start));
}

function refuse(detail: string): Denial {
  return deny("response.not_judged", detail);
}
