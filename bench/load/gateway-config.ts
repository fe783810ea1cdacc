// In: a folder, ports and the number of data threads. Out: the configuration of the gateway under test, in the folder.
// Everything that costs is on, as it ships: proof, policy, both logs in files, the audit log with its intents and outcomes.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ISSUER, TRUST_DOMAIN } from "./agents.ts";

export interface GatewayPorts {
  readonly traffic: number;
  readonly tls: number;
  readonly upstream: number;
}

export interface ServerCertificates {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

export const BATCHED_PATH = "/ats/jobs/J42/candidates/C7";
/** The same resource behind a route that waits for the disk. */
export const STRICT_PATH = "/strict/jobs/J42/candidates/C7";

/** Returns the file. */
export function writeGatewayConfig(options: {
  readonly folder: string;
  readonly ports: GatewayPorts;
  readonly threads: number;
  readonly jwks: unknown;
  readonly tls: ServerCertificates | undefined;
  /** Sections that replace those of the configuration. */
  readonly overrides?: Readonly<Record<string, unknown>> | undefined;
  /** Beside the two of the load. */
  readonly moreRoutes?: readonly object[] | undefined;
}): string {
  const { folder, ports, threads, tls } = options;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "jwks.json"), JSON.stringify(options.jwks));
  const origins = originsOf(ports);
  const resource = { type: "candidate_profiles", classification: "interview_safe", owner: "people" };
  const upstream = { url: `http://127.0.0.1:${ports.upstream}`, allow_private_addresses: true };
  const config = {
    version: 1,
    data_folder: "data",
    threads,
    listeners: [
      { name: "traffic", port: ports.traffic },
      ...(tls === undefined
        ? []
        : [
            {
              name: "tls",
              port: ports.tls,
              tls: {
                certificate: tls.certificate,
                key: tls.key,
                client_certificates: "optional",
                client_ca: tls.ca,
              },
            },
          ]),
    ],
    public_origins: Object.values(origins),
    issuers: [
      {
        issuer: ISSUER,
        audience: [origins.traffic],
        trust_domain: TRUST_DOMAIN,
        jwks: { file: "jwks.json" },
      },
    ],
    routes: [
      {
        name: "candidate",
        path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
        methods: ["GET"],
        resource,
        upstream: { ...upstream, strip_prefix: "/ats" },
      },
      {
        name: "candidate-strict",
        path: "/strict/jobs/{job_id}/candidates/{candidate_id}",
        methods: ["GET"],
        audit: "strict",
        resource,
        upstream: { ...upstream, strip_prefix: "/strict" },
      },
      ...(options.moreRoutes ?? []),
    ],
    admin: { port: 0 },
    logs: { level: "info" },
    ...options.overrides,
  };
  const file = path.join(folder, "cordon.yaml");
  writeFileSync(file, JSON.stringify(config, null, 2)); // YAML is a superset of JSON
  return file;
}

export function originsOf(ports: GatewayPorts): { readonly traffic: string; readonly tls: string } {
  return { traffic: `http://127.0.0.1:${ports.traffic}`, tls: `https://127.0.0.1:${ports.tls}` };
}
