// In: lists of tools and calls of tools, as they pass through one data thread. Out: which tools are not as they were pinned,
// and why a call of one is denied. What is new is told to the supervisor, who decides for all threads.
// Trusts: nothing of a server. The thread blocks by what it has seen itself before the supervisor has answered.
import { checkArguments } from "../../action/mcp/check-arguments.ts";
import { SESSION_VERSION } from "../../action/mcp/methods.ts";
import type { McpCall } from "../../action/mcp/read-call.ts";
import type { McpHeaders } from "../../action/mcp/read-headers.ts";
import { checkParameters } from "../../action/mcp/parameter-headers.ts";
import { defineTool, inputOf, type ToolDefinition } from "../../action/mcp/tool-definition.ts";
import { ToolPins } from "../../action/mcp/tool-pins.ts";
import { TOOL_PINS } from "../../config/mcp-schema.ts";
import type { Config } from "../../config/schema.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import { type Denial, deny } from "../../errors.ts";
import type { ListItem } from "../../upstream/read-lists.ts";
import type { ItemFacts } from "../exchange/read-message.ts";
import type { Route } from "./services.ts";
import type { FromThread, ToolsDelta, ToolsOfAll } from "../thread-messages.ts";

export interface ToolGate {
  /** Before policy: is the tool as it was pinned, do the arguments fit its schema, and do the headers repeat them? */
  check(route: Route, call: McpCall, parameters: McpHeaders["parameters"]): Denial | null;
  /** What a tool is known by; null where nothing can be, undefined where the route pins nothing. Depends on the item alone. */
  define(
    route: Route,
    name: string,
    value: Readonly<Record<string, unknown>>,
    text: string,
  ): ToolDefinition | null | undefined;
  /** One page of a list of tools. The names that must not be shown. */
  see(route: Route, call: McpCall, agent: string, page: ToolsPage): ReadonlySet<string>;
  /** Throws where a change was missed: the thread's successor gets them all. */
  apply(delta: ToolsDelta): void;
}

export interface ToolsPage {
  readonly items: readonly ListItem<ItemFacts>[];
  /** The cursor of the next page, where there is one. */
  readonly next: string | null;
}

interface PinnedRoute {
  readonly pins: ToolPins;
  readonly blocks: boolean;
  readonly acceptedOnly: boolean;
  /** The text of each tool as it was last read: a server nearly always sends the same. */
  readonly read: Map<string, { readonly text: string; readonly definition: ToolDefinition }>;
}

const NONE: ReadonlySet<string> = new Set();
/** Tools of a route whose last text is kept, and the characters of one: together at most 32 MiB for the largest server. */
const READ_MAX = 1000;
const READ_CHARACTERS_MAX = 16_384;
/** A page may name more tools than are ever pinned; the supervisor is told of so many. */
const PAGE_NAMES_MAX = 4096;
/** Of a cursor, a server's own text, which the supervisor keeps until the next page. */
const CURSOR_CHARACTERS_MAX = 1024;
const FAULT_CHARACTERS_MAX = 200;

export function createToolGate(options: {
  readonly config: Config;
  readonly start: ToolsOfAll;
  readonly epoch: EpochWords;
  readonly readControl: () => void;
  readonly nowMs: () => number;
  readonly notify: (message: FromThread) => void;
}): ToolGate {
  const { config, start, epoch, readControl, nowMs, notify } = options;
  const routes = new Map<number, PinnedRoute>();
  const inputs = new WeakMap<ToolDefinition, ReturnType<typeof inputOf>>();
  let serial = start.serial;
  for (const [index, { kind, mcp, name }] of config.routes.entries()) {
    const tools = mcp?.tools ?? TOOL_PINS;
    if (kind !== "mcp" || tools.pin === "off") continue;
    routes.set(index, {
      pins: new ToolPins(tools.pin, start.routes[name]),
      blocks: tools.on_drift === "block",
      acceptedOnly: tools.pin === "accepted_only",
      read: new Map(),
    });
  }

  /** Undefined where nothing is pinned. A change that was published is read before anything is judged by it. */
  function current(index: number): PinnedRoute | undefined {
    const route = routes.get(index);
    if (route !== undefined && epoch.current() !== serial) readControl();
    return route;
  }

  function checkCall(definition: ToolDefinition, call: McpCall, parameters: McpHeaders["parameters"]): Denial | null {
    let input = inputs.get(definition);
    if (input === undefined) {
      input = inputOf(definition);
      inputs.set(definition, input);
    }
    const fault = checkArguments(input.schema, call.arguments);
    if (fault !== null) return deny("mcp.arguments_invalid", fault.slice(0, FAULT_CHARACTERS_MAX));
    // Of a tool that marks what it may not, no header can be told to be right.
    if (input.marks === null) return refuseAny(parameters);
    const other = checkParameters(input.marks, call.arguments, parameters, call.version !== SESSION_VERSION);
    return other === null ? null : deny("mcp.header_mismatch", other.slice(0, FAULT_CHARACTERS_MAX));
  }

  return {
    check({ index }, call, parameters) {
      if (call.method !== "tools/call" || call.item === undefined) return null;
      const route = current(index);
      if (route === undefined) return refuseAny(parameters);
      const { pins, blocks, acceptedOnly } = route;
      const record = pins.find(call.item.name);
      if (record === undefined) {
        // Nothing was ever listed here: what the tool is can only be taken on trust.
        const isFirst = !acceptedOnly && pins.isEmpty && !pins.complete;
        return isFirst || !blocks ? refuseAny(parameters) : deny("mcp.tool_unknown");
      }
      if (blocks && record.pinned === null) return deny("mcp.tool_unknown", "not accepted");
      if (blocks && record.seen !== null) return deny("mcp.tool_drifted");
      const definition = record.seen ?? record.pinned;
      return definition === null ? refuseAny(parameters) : checkCall(definition, call, parameters);
    },

    define({ index }, name, value, text) {
      const read = routes.get(index)?.read;
      if (read === undefined) return undefined;
      const known = read.get(name);
      if (known?.text === text) return known.definition;
      const definition = defineTool(value, text);
      if (definition !== null && text.length <= READ_CHARACTERS_MAX && (known !== undefined || read.size < READ_MAX)) {
        // A copy: a part of it would keep the whole message.
        read.set(name, { text: Buffer.from(text).toString(), definition });
      }
      return definition;
    },

    see({ index }, call, agent, { items, next: nextCursor }) {
      const route = current(index);
      if (route === undefined) return NONE;
      const { pins, blocks } = route;
      const wasComplete = pins.complete;
      const now = nowMs();
      const blocked = new Set<string>();
      const news: { name: string; definition: ToolDefinition }[] = [];
      const unfit: string[] = [];
      const names = new Set<string>();
      for (const { name, facts } of items) {
        names.add(name);
        const definition = facts.definition ?? null;
        if (definition === null) unfit.push(name.slice(0, CURSOR_CHARACTERS_MAX));
        else if (pins.see(name, definition, now) !== null) news.push({ name, definition });
        const record = pins.find(name);
        const isPinned = record?.seen === null && record.pinned?.digest === definition?.digest;
        if (definition === null || !isPinned) blocked.add(name);
      }
      // On the stream of a session nobody knows which page it is that comes again.
      const cursor = call.method === "tools/list" ? textOrNull(call.arguments["cursor"]) : undefined;
      const next = textOrNull(nextCursor);
      const isWhole = cursor === null && next === null;
      const gone = isWhole ? pins.seeWhole(names, now) : [];
      const tellsPage = cursor !== undefined && (!isWhole || !wasComplete || gone.length > 0);
      if (news.length > 0 || unfit.length > 0 || tellsPage) {
        const page = tellsPage ? { agent, cursor, next, names: [...names].slice(0, PAGE_NAMES_MAX) } : undefined;
        notify({ type: "tools", route: index, items: news, unfit, page });
      }
      return blocks ? blocked : NONE;
    },

    apply(delta) {
      if (delta.serial !== serial + 1) throw new Error(`tools ${delta.serial} do not follow ${serial}`);
      serial = delta.serial;
      const route = [...routes].find(([index]) => config.routes[index]?.name === delta.route)?.[1];
      if (route === undefined) return;
      const { pins } = route;
      for (const name of delta.removed) pins.remove(name);
      for (const record of delta.records) pins.put(record);
      pins.progress(delta.firstMs, delta.complete);
    },
  };
}

/** Where no schema says which argument a header repeats, it may tell others what policy was not asked about. */
function refuseAny(parameters: McpHeaders["parameters"]): Denial | null {
  return parameters.size === 0 ? null : deny("mcp.header_mismatch", "no schema to compare Mcp-Param-* by");
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value.slice(0, CURSOR_CHARACTERS_MAX) : null;
}
