// In: the configuration, its folder and the environment. Out: every file path made absolute, in place.
import path from "node:path";
import type { ConfigView, ParsedConfig } from "./config-view.ts";

type Upstream = ParsedConfig["routes"][number]["upstream"];

/**
 * Paths are relative to the configuration file; those of logs and audit to the data folder.
 * Where CORDON_DATA_FOLDER (relative to the working folder) replaces the data folder, a file inside moves with it.
 */
export function resolvePaths(view: ConfigView, folder: string, env: NodeJS.ProcessEnv): void {
  const written = path.resolve(folder, view.data_folder ?? "data");
  const override = env["CORDON_DATA_FOLDER"];
  const dataFolder = override === undefined || override === "" ? written : path.resolve(override);
  const file = (text: string): string => {
    const absolute = path.resolve(folder, text);
    const inside = path.relative(written, absolute);
    const moved = inside !== "" && !inside.startsWith("..") && !path.isAbsolute(inside);
    return moved ? path.join(dataFolder, inside) : absolute;
  };
  const maybe = (text: string | undefined) => (text === undefined ? undefined : file(text));
  view.data_folder = dataFolder;
  for (const listener of view.listeners) {
    if (listener?.tls === undefined) continue;
    listener.tls.certificate = file(listener.tls.certificate);
    listener.tls.key = file(listener.tls.key);
    listener.tls.client_ca = maybe(listener.tls.client_ca);
  }
  for (const issuer of view.issuers) {
    if (issuer !== undefined && "file" in issuer.jwks) issuer.jwks.file = file(issuer.jwks.file);
  }
  for (const route of view.routes) if (route?.openapi !== undefined) route.openapi.file = file(route.openapi.file);
  const upstreams = [...view.routes.map((route) => route?.upstream), view.quarantine?.monitor];
  for (const upstream of upstreams) if (upstream !== undefined) resolveUpstream(upstream, file, maybe);
  const { clients = [], applications = [], publishers = [], identity_providers: providers = [] } = view.broker ?? {};
  for (const server of view.broker?.resource_servers ?? []) server.jwks = file(server.jwks);
  for (const owner of [...clients, ...applications, ...publishers]) owner.jwks = file(owner.jwks);
  for (const { jwks } of providers) if ("file" in jwks) jwks.file = file(jwks.file);
  if (view.policy !== undefined) {
    view.policy.bundle = maybe(view.policy.bundle);
    view.policy.source = maybe(view.policy.source);
    view.policy.data = maybe(view.policy.data);
  }
  for (const target of [view.logs?.access, view.logs?.decision]) {
    if (typeof target === "object") target.file = path.resolve(dataFolder, target.file);
  }
  if (view.audit !== undefined) view.audit.file = path.resolve(dataFolder, view.audit.file);
}

function resolveUpstream(
  upstream: Upstream,
  file: (text: string) => string,
  maybe: (text: string | undefined) => string | undefined,
): void {
  upstream.ca = maybe(upstream.ca);
  upstream.client_certificate = maybe(upstream.client_certificate);
  upstream.client_key = maybe(upstream.client_key);
  const source = upstream.credential?.from;
  if (source !== undefined && "file" in source) source.file = file(source.file);
}
