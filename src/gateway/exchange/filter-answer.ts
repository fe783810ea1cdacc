// In: a judged message on a route of kind `mcp`. Out: what its answer needs on the way back: the agent's own session id,
// results without what policy redacts, and lists without what it does not show. What an agent can see is what it may use;
// a list that policy cannot judge is empty. Trusts: nothing that the server sends.
import { type McpList, SESSION_VERSION } from "../../action/mcp/methods.ts";
import { type Denial, deny } from "../../errors.ts";
import { ok, type Result } from "../../lib/result.ts";
import { errorObject } from "../../action/mcp/error-object.ts";
import { filterList } from "../../upstream/filter-list.ts";
import type { ForwardRequest } from "../../upstream/forwarder.ts";
import type { ListItem } from "../../upstream/read-lists.ts";
import { redactJson } from "../../upstream/redact-json.ts";
import { redactMessage } from "../../upstream/redact-message.ts";
import type { Judged } from "./judge.ts";
import { heldUntil, messageJudge } from "./judge-response.ts";
import { type ItemFacts, listJson, readMessage } from "./read-message.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** Asks `cordon/visible` for one list; the text is `input.list`. */
export type ChooseVisible = (listJson: string) => Result<ReadonlySet<string>, Denial>;

const SESSION_HEADER = "mcp-session-id";
const NOTHING: ReadonlySet<string> = new Set();

export function filterAnswer(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
  mcp: NonNullable<Judged["mcp"]>,
): Pick<ForwardRequest, "mapHead" | "filterMessage" | "mayRedact" | "unreadable" | "lastEvent"> {
  const { call } = mcp.action;
  const { redact = [] } = judged.decision.obligations;
  const mapHead: ForwardRequest["mapHead"] = (headers) => {
    const { [SESSION_HEADER]: id, ...others } = headers;
    if (id === undefined) return headers;
    // 2026-07-28 has no sessions; two ids, or one that is none, are not passed on either.
    const own = call.version === SESSION_VERSION && typeof id === "string";
    const sealed = own ? s.sessions.seal(judged.route.config.name, judged.agent, id) : null;
    return sealed === null ? others : { ...others, [SESSION_HEADER]: sealed };
  };
  const lastEvent: ForwardRequest["lastEvent"] = (denial) =>
    call.id === undefined ? undefined : errorObject(denial, call.id, x.requestId);
  const judge = messageJudge(s, x, judged);
  if (call.lists.length === 0 && redact.length === 0 && judge === null) return { mapHead, lastEvent };
  const read = (message: Buffer) => readMessage(s, judged.route, call.lists, message);
  type Read = NonNullable<ReturnType<typeof read>>;
  /** Before policy, which knows tools by their names: a name stands for what was pinned. `observe` relaxes none of it. */
  const driftedOf = (list: McpList, items: readonly ListItem<ItemFacts>[], { next }: Read): ReadonlySet<string> =>
    list.kind === "tools" ? s.tools.see(judged.route, call, judged.agent.refs.agent, { items, next }) : NOTHING;
  /** `known`: what is not as it was pinned, where that was read before. */
  const lists = (message: Buffer, known?: ReadonlySet<string>): Buffer | null => {
    const page = read(message);
    if (page === null) return null;
    return filterList(message, page, (list, all) => {
      const drifted = known ?? driftedOf(list, all, page);
      const items = drifted.size === 0 || list.kind !== "tools" ? all : all.filter(({ name }) => !drifted.has(name));
      if (all.length === 0) return NOTHING;
      const shown = items.length === 0 ? ok(NOTHING) : mcp.visible(listJson(list, items));
      const names = shown.ok ? shown.value : NOTHING;
      const count = items.filter(({ name }) => names.has(name)).length;
      const why = shown.ok ? "" : `, ${shown.error.reason}`;
      const observed = judged.route.config.mode === "observe";
      const unpinned = items.length === all.length ? "" : `, ${all.length - items.length} not as pinned`;
      x.detail = `${list.kind}: ${count} of ${all.length} ${observed ? "would be " : ""}shown${why}${unpinned}`;
      // `observe` relaxes the policy's verdict, and this is one.
      return observed ? new Set(items.map(({ name }) => name)) : names;
    });
  };
  /** Null as `readLists` has it. What policy redacts for one agent is no other tool. */
  const driftedBefore = (message: Buffer): ReadonlySet<string> | null => {
    const page = read(message);
    if (page === null) return null;
    const tools = page.lists.find(({ shape }) => shape.kind === "tools");
    if (tools === undefined) return NOTHING;
    return driftedOf(tools.shape, tools.named, page);
  };
  const redactedAndListed = (message: Buffer, pointers: readonly string[]): Buffer | Denial | null => {
    if (pointers.length === 0) return call.lists.length === 0 ? message : lists(message);
    const drifted = call.lists.length === 0 ? NOTHING : driftedBefore(message);
    if (drifted === null) return null;
    const redacted = redactMessage(message, pointers);
    return "reason" in redacted || call.lists.length === 0 ? redacted : lists(redacted, drifted);
  };
  const filterMessage: ForwardRequest["filterMessage"] = (message) => {
    if (judge === null) return redactedAndListed(message, redact);
    // Judged as the server wrote it; what is removed is removed from that.
    const allowed = judge(message);
    if (!allowed.ok) return allowed.error;
    const { member, redact: more } = allowed.value;
    if (member === "result") return heldUntil(redactedAndListed(message, [...redact, ...more]), allowed.value);
    const pointers = more.map((pointer) => `/${member}${pointer}`);
    const redacted = pointers.length === 0 ? message : redactJson(message, pointers);
    return heldUntil(redacted ?? deny("upstream.cannot_redact", "not strict JSON"), allowed.value);
  };
  return {
    mapHead,
    filterMessage,
    unreadable: unreadableOf(judge !== null, redact.length > 0),
    lastEvent,
    // A compressed answer, or a part of one, cannot be read.
    mayRedact: true,
  };
}

function unreadableOf(judges: boolean, redacts: boolean): NonNullable<ForwardRequest["unreadable"]> {
  if (judges) return "response.not_judged";
  return redacts ? "upstream.cannot_redact" : "upstream.cannot_filter";
}

/** Before anything is sent: what a task has found is asked for by another message, of which nobody knows the tool. */
export function cannotRedact({ mcp, decision }: Judged): Denial | null {
  const inTask = mcp?.action.call.params?.["task"] !== undefined && (decision.obligations.redact ?? []).length > 0;
  return inTask ? deny("upstream.cannot_redact", "the result of a task") : null;
}
