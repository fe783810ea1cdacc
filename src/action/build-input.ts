// In: the route, the canonical target, the judged body and the verified agent. Out: the policy input as JSON text.
// What belongs to the token and to the route is serialised once; the rest is joined around it as one string.
import { isoTime } from "../lib/iso-time.ts";
import { cutJsonText, jsonRecord, jsonText } from "../lib/json-text.ts";
import { loggedAction, type McpAction, mcpActionText } from "./mcp/action-text.ts";
import type { Target } from "./parse-target.ts";

/** The parts of a route that policy sees, with what never changes already serialised. */
export interface RouteInput {
  readonly name: string;
  readonly tool: string;
  /** `tool` as a JSON string. */
  readonly toolJson: string;
  /** `"route":..,"type":..,"classification":..,"owner":..,"attributes":..` */
  readonly resourceJson: string;
}

export function createRouteInput(route: {
  readonly name: string;
  readonly tool?: string | undefined;
  readonly resource: {
    readonly type: string;
    readonly classification: string;
    readonly owner: string;
    readonly attributes: Readonly<Record<string, string>>;
  };
}): RouteInput {
  const { type, classification, owner, attributes } = route.resource;
  const tool = route.tool ?? route.name;
  return {
    name: route.name,
    tool,
    toolJson: JSON.stringify(tool),
    resourceJson: JSON.stringify({ route: route.name, type, classification, owner, attributes }).slice(1, -1),
  };
}

export interface InputParts {
  /** `Agent.claimsJson`. */
  readonly claimsJson: string;
  readonly route: RouteInput;
  readonly method: string;
  /** The judged body's own text, or null where there is no body or the route does not inspect it. */
  readonly bodyText: string | null;
  /** On a route of kind `mcp`: the call that the body is; `bodyText` is the text of its arguments then. */
  readonly mcp?: McpAction | undefined;
  readonly target: Target;
  readonly params: Readonly<Record<string, string>>;
  /** The configured public origin's host, never the raw Host header. */
  readonly host: string;
  readonly timeMs: number;
  readonly sourceIp: string;
  readonly gateway: string;
  /** `input.budget`, where a budget matches. */
  readonly budgetJson?: string | undefined;
}

/**
 * What follows the claims in the `input` document, as JSON text around the two values that no log shows: the arguments
 * and the query. Made once for an exchange: the policy and the decision log both need it.
 */
export interface InputText {
  /** `"action":{..,"arguments":` */
  readonly beforeArguments: string;
  /** `,"http":{..}},"resource":{..,"query":` */
  readonly afterArguments: string;
  /** `},"environment":{..}`, and `,"budget":{..}` */
  readonly afterQuery: string;
}

/** `text` writes one text as a JSON string. */
export function inputText(parts: InputParts, text: (value: string) => string = jsonText): InputText {
  const { route, target } = parts;
  const method = text(parts.method);
  let path = "";
  for (const segment of target.segments) path += path === "" ? text(segment) : `,${text(segment)}`;
  const mcp = parts.mcp === undefined ? undefined : mcpActionText(parts.mcp, parts.method, text);
  return {
    beforeArguments: mcp?.before ?? `"action":{"kind":"http","method":${method},"tool":${route.toolJson},"arguments":`,
    afterArguments:
      `${mcp?.after ?? `,"http":{"method":${method}}}`},"resource":{${route.resourceJson},` +
      `"params":${jsonRecord(parts.params, text)},"host":${text(parts.host)},"path":[${path}],"query":`,
    afterQuery:
      `},"environment":{"time":"${isoTime(parts.timeMs)}","source_ip":${text(parts.sourceIp)},` +
      `"gateway":${text(parts.gateway)}}${parts.budgetJson === undefined ? "" : `,"budget":${parts.budgetJson}`}`,
  };
}

/** For a log: no text of it is longer than `charactersMax`. */
export function cutInputText(parts: InputParts, whole: InputText, charactersMax: number): InputText {
  const cut = (value: string): string => cutJsonText(value, charactersMax);
  if (parts.mcp !== undefined) return inputText({ ...parts, mcp: loggedAction(parts.mcp) }, cut);
  return whole.afterArguments.length <= charactersMax ? whole : inputText(parts, cut);
}

/** The members of the `input` document after the claims, as JSON text without braces. */
export function requestMembers(parts: InputParts, text: InputText): string {
  return (
    text.beforeArguments +
    (parts.bodyText ?? "null") +
    text.afterArguments +
    jsonRecord(parts.target.query) +
    text.afterQuery
  );
}

/** The whole `input` document of design section 4 as JSON text. */
export function buildInput(parts: InputParts): string {
  return `{${parts.claimsJson},${requestMembers(parts, inputText(parts))}}`;
}
