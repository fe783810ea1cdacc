// In: the configuration as it was read, and the environment. Out: the same value with ports and data folder replaced.
// An origin on loopback that names a replaced port follows it, so that `htu`, issuer and audience stay true.
import type { Report } from "./config-problem.ts";
import { isLoopback } from "./is-loopback.ts";

type Loose = Record<string, unknown>;

/** Changes `raw` in place. What does not have the expected shape is left for the schema to refuse. */
export function applyEnvironment(raw: unknown, env: NodeJS.ProcessEnv, report: Report): void {
  if (!isGroup(raw)) return;
  const listeners = raw["listeners"];
  const first: unknown = Array.isArray(listeners) ? listeners[0] : undefined;
  replacePort(raw, first, "CORDON_PORT", undefined, env, report);
  replacePort(raw, raw["broker"], "CORDON_ISSUER_PORT", 8081, env, report);
  if (env["CORDON_CONTROL_PORT"] !== undefined && raw["admin"] === undefined) raw["admin"] = {};
  replacePort(raw, raw["admin"], "CORDON_CONTROL_PORT", 9080, env, report);
}

function replacePort(
  raw: Loose,
  owner: unknown,
  variable: string,
  defaultPort: number | undefined,
  env: NodeJS.ProcessEnv,
  report: Report,
): void {
  const text = env[variable];
  if (text === undefined || text === "" || !isGroup(owner)) return;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    return report(variable, "This variable is not a port.", "Set it to a number from 0 to 65535, or unset it.");
  }
  const old = owner["port"] ?? defaultPort;
  owner["port"] = port;
  // Port 0 is chosen by the system later, so no origin can name it yet.
  if (typeof old !== "number" || port === 0 || variable === "CORDON_CONTROL_PORT") return;
  const follow = (value: unknown) => followPort(value, old, port);
  for (const key of ["public_origins", "routes", "issuers"] as const) {
    const list = raw[key];
    if (!Array.isArray(list)) continue;
    list.forEach((item: unknown, index) => {
      if (key === "public_origins") list[index] = follow(item);
      else if (key === "routes" && isGroup(item) && "host" in item) item["host"] = follow(item["host"]);
      else if (key === "issuers" && isGroup(item)) followIssuer(item, follow);
    });
  }
  const broker = raw["broker"];
  if (isGroup(broker) && "issuer" in broker) broker["issuer"] = follow(broker["issuer"]);
}

function followIssuer(issuer: Loose, follow: (value: unknown) => unknown): void {
  if ("issuer" in issuer) issuer["issuer"] = follow(issuer["issuer"]);
  if (Array.isArray(issuer["audience"])) issuer["audience"] = issuer["audience"].map(follow);
  const jwks = issuer["jwks"];
  if (isGroup(jwks) && "url" in jwks) jwks["url"] = follow(jwks["url"]);
}

function followPort(value: unknown, old: number, port: number): unknown {
  if (typeof value !== "string") return value;
  const parts = /^(https?:\/\/)([^/?#@:]+|\[[^\]]*\]):(\d{1,5})(?=$|[/?#])/.exec(value);
  if (parts === null || Number(parts[3]) !== old || !isLoopback(parts[2] ?? "")) return value;
  return `${parts[1]}${parts[2]}:${port}${value.slice(parts[0].length)}`;
}

function isGroup(value: unknown): value is Loose {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
