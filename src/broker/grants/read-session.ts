// In: the `session` parameter of a launch and its principal. Out: where the chain of requests began.
// The chain's own id is the broker's: 128 random bits, so that nobody can name another's chain.
import { randomBytes } from "node:crypto";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { isObject, memberOf } from "../../lib/strict-json.ts";
import type { SessionOrigin } from "./authority.ts";
import { isShortText, type Parameters, readObject } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

const ID_BYTES = 16;
const MEMBERS = new Set(["root_request", "initiator"]);

/** The principal is the initiator, and the request a new one, where nothing else is said. */
export function readSession(
  parameters: Parameters,
  principal: { readonly type: string; readonly id: string },
): Result<SessionOrigin, Refusal> {
  const given = readObject(parameters, "session");
  if (!given.ok) return given;
  const session = given.value ?? {};
  if (!Object.keys(session).every((member) => MEMBERS.has(member))) return refuse("request_malformed", "session");
  const rootRequest = memberOf(session, "root_request") ?? randomId();
  if (!isShortText(rootRequest)) return refuse("request_malformed", "session.root_request");
  const initiator = memberOf(session, "initiator") ?? principal;
  const type = memberOf(initiator, "type");
  const id = memberOf(initiator, "id");
  if (!isObject(initiator) || !isShortText(type) || !isShortText(id)) {
    return refuse("request_malformed", "session.initiator");
  }
  return ok({ id: randomId(), root_request: rootRequest, initiator: { type, id } });
}

function randomId(): string {
  return randomBytes(ID_BYTES).toString("base64url");
}
