// In: a message of an MCP server, the lists it may hold, and the route it came on. Out: its lists with all that is asked of
// an item: what policy is shown of it, and what a tool is known by. Read once where a server sends the same again.
import type { McpList } from "../../action/mcp/methods.ts";
import type { ToolDefinition } from "../../action/mcp/tool-definition.ts";
import { jsonText } from "../../lib/json-text.ts";
import { type ListItem, type ListMessage, readLists } from "../../upstream/read-lists.ts";
import type { Route, Services } from "../thread/services.ts";

/** A function of the item's bytes and of the route's configuration, which never changes: it is kept with the page. */
export interface ItemFacts {
  /** The item as it stands in `input.list.items`. */
  readonly inputJson: string;
  /** Null for a tool that nothing can be known by, undefined where nothing is pinned. */
  readonly definition: ToolDefinition | null | undefined;
}

export function readMessage(
  { pages, tools }: Services,
  route: Route,
  lists: readonly McpList[],
  message: Buffer,
): ListMessage<McpList, ItemFacts> | null {
  let key = String(route.index);
  for (const { kind } of lists) key += ` ${kind}`;
  return pages.read(key, message, () =>
    readLists(message, lists, ({ kind }, name, value, text) => ({
      inputJson: inputJson(kind, name, value),
      definition: kind === "tools" ? tools.define(route, name, value, text) : undefined,
    })),
  );
}

/** `input.list`. */
export function listJson({ kind }: McpList, items: readonly ListItem<ItemFacts>[]): string {
  let texts = "";
  for (const { facts } of items) texts += texts === "" ? facts.inputJson : `,${facts.inputJson}`;
  return `{"kind":"${kind}","items":[${texts}]}`;
}

/** Names, and of tools the hints that a server gives about them; descriptions and schemas are no part of the question. */
function inputJson(kind: McpList["kind"], name: string, value: Readonly<Record<string, unknown>>): string {
  const annotations = kind === "tools" ? plainMembers(value["annotations"]) : undefined;
  return annotations === undefined
    ? `{"name":${jsonText(name)}}`
    : `{"name":${jsonText(name)},"annotations":${JSON.stringify(annotations)}}`;
}

/** Hints are booleans and texts; whatever else stands there may be nested without end. */
function plainMembers(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => typeof member === "boolean" || typeof member === "string"),
  );
}
