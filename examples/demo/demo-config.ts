// In: the ports and files of one run. Out: the gateway's configuration, with five agents, four tools and a monitor.
import { stringify } from "yaml";

export interface DemoPorts {
  readonly traffic: number;
  readonly issuer: number;
  readonly control: number;
  readonly ats: number;
  readonly monitor: number;
  readonly mcp: number;
  readonly notes: number;
}

export const TRUST_DOMAIN = "acme.example";
/** Reads candidates of the job that closes during the demo. */
export const SCREENING = "screening-agent";
/** Calls tools of the public MCP server. */
export const ASSISTANT = "assistant-agent";
/** Read candidates of a job that stays open; each is contained in another way. */
export const SOURCING = "sourcing-agent";
export const INTERVIEW = "interview-agent";
export const SCORING = "scoring-agent";
/** The MCP server that rewrites its tool; its route and its path have the same name. */
export const NOTES = "notes";
/** Calls of the tool `echo` that a task may make. */
export const ECHO_CALLS = 2;
/** The application that launches agents; they are no clients of their own. */
export const ORCHESTRATOR = "hiring";
export const CLIENTS = [SCREENING, ASSISTANT, SOURCING, INTERVIEW, SCORING] as const;
export type ClientId = (typeof CLIENTS)[number];

export function demoConfig(options: {
  readonly ports: DemoPorts;
  /** Absent where there is no `opa`: the bundle that ships with Cordon decides. */
  readonly policySource: string | undefined;
  readonly policyData: string;
  readonly keyFile: (client: ClientId | typeof ORCHESTRATOR) => string;
}): string {
  const { ports, policySource, policyData, keyFile } = options;
  const origin = `http://127.0.0.1:${ports.traffic}`;
  const issuer = `http://127.0.0.1:${ports.issuer}`;
  const ats = { url: `http://127.0.0.1:${ports.ats}`, strip_prefix: "/ats", allow_private_addresses: true };
  const profile = { type: "candidate_profiles", classification: "interview_safe", owner: "people-team" };
  const scores = { type: "candidate_scores", classification: "interview_safe", owner: "people-team" };
  const salary = { type: "candidate_salaries", classification: "restricted", owner: "people-team" };
  const candidate = "/ats/jobs/{job_id}/candidates/{candidate_id}";
  return stringify({
    version: 1,
    gateway: "demo",
    data_folder: "data",
    // Two, so that a replayed proof and a block have to hold on a thread that did not see the first call.
    threads: 2,
    listeners: [{ name: "traffic", port: ports.traffic }],
    public_origins: [origin],
    issuers: [
      {
        issuer,
        audience: [origin],
        trust_domain: TRUST_DOMAIN,
        jwks: { url: `${issuer}/jwks`, allow_private_addresses: true },
      },
    ],
    broker: {
      port: ports.issuer,
      issuer,
      trust_domain: TRUST_DOMAIN,
      clients: clientsOf(keyFile),
      // All that it may ever grant, and for whom.
      applications: [
        {
          name: ORCHESTRATOR,
          jwks: keyFile(ORCHESTRATOR),
          orchestrations: ["hiring"],
          scope: ["read:candidates:*", "write:scores:*", "call:mcp:everything"],
          principals: ["user:recruiter_alice"],
          depth_max: 2,
        },
      ],
    },
    routes: [
      { name: "ats-candidate", path: candidate, methods: ["GET"], audit: "strict", resource: profile, upstream: ats },
      {
        name: "ats-score",
        path: `${candidate}/score`,
        methods: ["POST"],
        audit: "strict",
        resource: scores,
        upstream: ats,
      },
      { name: "ats-salary", path: `${candidate}/salary`, methods: ["GET"], resource: salary, upstream: ats },
      {
        name: "mcp-everything",
        kind: "mcp",
        path: "/mcp",
        methods: ["GET", "POST", "DELETE"],
        resource: { type: "mcp_tools", classification: "public", attributes: { server: "everything" } },
        upstream: { url: `http://127.0.0.1:${ports.mcp}`, allow_private_addresses: true },
      },
      {
        name: NOTES,
        kind: "mcp",
        path: `/${NOTES}`,
        methods: ["GET", "POST", "DELETE"],
        resource: { type: "mcp_tools", classification: "public", attributes: { server: NOTES } },
        upstream: { url: `http://127.0.0.1:${ports.notes}`, allow_private_addresses: true },
      },
    ],
    // Enough for the demo and no more, so that one of its steps comes to the end of it.
    budgets: [
      {
        name: "echoes",
        match: { routes: ["mcp-everything"], tools: ["echo"] },
        per: ["task"],
        calls_total: ECHO_CALLS,
      },
    ],
    quarantine: { monitor: { url: `http://127.0.0.1:${ports.monitor}`, allow_private_addresses: true } },
    policy: { ...(policySource === undefined ? {} : { source: policySource }), data: policyData },
    admin: { port: ports.control },
  });
}

function clientsOf(keyFile: (client: ClientId) => string): unknown[] {
  const alice = { type: "user", id: "recruiter_alice" };
  const common = {
    principal: alice,
    initiator: alice,
    provenance: {
      model: "claude-sonnet-5",
      model_version: "2026-09-01",
      deployment: "eu-1",
      environment: "production",
    },
  };
  const hiring = (client: ClientId, task: string, job: string): unknown => ({
    client_id: client,
    jwks: keyFile(client),
    orchestration: "hiring",
    task,
    purpose: "rank-candidates",
    scope: [`read:candidates:${job}`],
    constraints: { job_id: job },
    ...common,
  });
  return [
    hiring(SCREENING, "screen-j42", "J42"),
    hiring(SOURCING, "source-j43", "J43"),
    hiring(INTERVIEW, "interview-j43", "J43"),
    hiring(SCORING, "score-j43", "J43"),
    {
      client_id: ASSISTANT,
      jwks: keyFile(ASSISTANT),
      orchestration: "office",
      task: "assist-alice",
      purpose: "assist",
      scope: ["call:mcp:everything", `call:mcp:${NOTES}`],
      ...common,
    },
  ];
}
