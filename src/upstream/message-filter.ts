// In: the head of an answer whose messages are to be filtered. Out: how its body is to be read, or the denial.
// Trusts: nothing. A body that no client takes for a message passes; one that hides its text does not.
import { type Denial, deny } from "../errors.ts";
import { checkRedactable } from "./check-redactable.ts";
import type { ParsedHeaders } from "./header-rules.ts";

/** `whole`: one JSON document. `events`: an event stream. `none`: no message, as in an error page. */
export type MessageBody = "whole" | "events" | "none";

/** HTML, section 9.2: how a tool says that its answer goes on. */
const EVENT_STREAM = /^\s*text\/event-stream\s*(?:;|$)/i;
const JSON_TYPE = /^\s*application\/(?:[a-z0-9!#$&^_.+-]+\+)?json\s*(?:;|$)/i;

/** Why a body of messages that cannot be read does not pass. */
export type Unreadable = "upstream.cannot_filter" | "upstream.cannot_redact" | "response.not_judged";

export function isEventStream(headers: ParsedHeaders): boolean {
  return EVENT_STREAM.test(String(headers["content-type"] ?? ""));
}

/** One that can be read, and written on. */
export function isPlainEventStream(headers: ParsedHeaders): boolean {
  return isEventStream(headers) && isPlain(headers);
}

export function isJson(headers: ParsedHeaders): boolean {
  return JSON_TYPE.test(String(headers["content-type"] ?? ""));
}

function isPlain({ "content-encoding": coding }: ParsedHeaders): boolean {
  return coding === undefined || coding === "identity";
}

/** To redact or to judge, no body passes unread: the value may stand in an error page too. */
export function messageBodyOf(status: number, headers: ParsedHeaders, refusal: Unreadable): MessageBody | Denial {
  const type = String(headers["content-type"] ?? "");
  if (isEventStream(headers)) return isPlain(headers) ? "events" : deny(refusal, "encoded");
  if (isJson(headers)) {
    const denial = checkRedactable(status, headers);
    return denial === null ? "whole" : deny(refusal, denial.detail);
  }
  // A client reads an answer by its type; a success of another type, or of none, is guessed at by some.
  if (headers["content-length"] === "0") return "none";
  if (status >= 300 && refusal === "upstream.cannot_filter") return "none";
  return status === 202 && type === "" ? "whole" : deny(refusal, "neither JSON nor events");
}
