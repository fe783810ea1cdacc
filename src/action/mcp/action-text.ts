// In: a call that was read, and the server it is for. Out: `input.action` as JSON text, around the arguments.
// What a log may show of it is another text: arguments, the query of a URI and the id of a task stay out.
import type { McpCall } from "./read-call.ts";

export interface McpAction {
  readonly call: McpCall;
  /** `input.action.server`. */
  readonly server: string;
}

export interface ActionText {
  /** `"action":{..,"arguments":` */
  readonly before: string;
  /** `,..,"http":{"method":..}}` */
  readonly after: string;
}

export function mcpActionText(
  { call, server }: McpAction,
  httpMethod: string,
  text: (value: string) => string,
): ActionText {
  const { item, params } = call;
  const named = item === undefined ? "" : `"${item.kind}":${text(item.name)},`;
  return {
    before:
      `"action":{"kind":"mcp","class":"${call.class}","method":${text(call.method)},${named}` +
      `"protocol_version":"${call.version}","server":${text(server)},"arguments":`,
    after: `${params === undefined ? "" : `,"params":${JSON.stringify(params)}`},"http":{"method":${text(httpMethod)}}}`,
  };
}

/** The same action without the values that come from a body and are not its name. */
export function loggedAction(action: McpAction): McpAction {
  const { call } = action;
  const item = call.item === undefined ? undefined : { kind: call.item.kind, name: loggedName(call) };
  return { server: action.server, call: { ...call, item, params: undefined } };
}

/** What the logs name: `""` where nothing is named, or where the name is as good as a key. */
export function loggedName({ item }: McpCall): string {
  if (item === undefined || item.kind === "task") return "";
  if (item.kind !== "resource") return item.name;
  const end = item.name.search(/[?#]/);
  return end === -1 ? item.name : item.name.slice(0, end);
}
