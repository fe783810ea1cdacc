// In: the route, the canonical target, the judged body and the verified agent. Out: the policy input as JSON text.
// What belongs to the token and to the route is serialised once; the rest is joined around it as one string.
import { isoTime } from "../lib/iso-time.ts";
import type { Target } from "./parse-target.ts";

/** The parts of a route that policy sees, with what never changes already serialised. */
export interface RouteInput {
  readonly name: string;
  readonly tool: string;
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
  return {
    name: route.name,
    tool: route.tool ?? route.name,
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
  readonly target: Target;
  readonly params: Readonly<Record<string, string>>;
  /** The configured public origin's host, never the raw Host header. */
  readonly host: string;
  readonly timeMs: number;
  readonly sourceIp: string;
  readonly gateway: string;
}

/** The whole `input` document of design section 4 as JSON text. */
export function buildInput(parts: InputParts): string {
  const { route, target } = parts;
  const method = JSON.stringify(parts.method);
  return (
    `{${parts.claimsJson},` +
    `"action":{"kind":"http","method":${method},"tool":${JSON.stringify(route.tool)},` +
    `"arguments":${parts.bodyText ?? "null"},"http":{"method":${method}}},` +
    `"resource":{${route.resourceJson},"params":${JSON.stringify(parts.params)},"host":${JSON.stringify(parts.host)},` +
    `"path":${JSON.stringify(target.segments)},"query":${JSON.stringify(target.query)}},` +
    `"environment":{"time":"${isoTime(parts.timeMs)}","source_ip":${JSON.stringify(parts.sourceIp)},` +
    `"gateway":${JSON.stringify(parts.gateway)}}}`
  );
}
