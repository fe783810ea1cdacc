// In: nothing. Out: the one zod schema from which the types, the checks and the JSON Schema come.
// Every object is strict: an unknown key is a problem, never ignored. Units stand at the end of names.
import { z } from "zod";
import { nameSchema as name } from "../lib/application-schema.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { broker } from "./broker-schema.ts";
import { budget } from "./budget-schema.ts";
import { issuer } from "./issuer-schema.ts";
import { route, upstream } from "./route-schema.ts";
import { bytes, filePath, ms, origin, port } from "./schema-values.ts";

const listenerTls = z.strictObject({
  certificate: filePath,
  key: filePath,
  client_certificates: z.enum(["off", "optional", "required"]).default("off"),
  client_ca: filePath.optional().describe("PEM bundle; required unless `client_certificates` is off."),
});

const listener = z.strictObject({
  name,
  address: z.string().default("127.0.0.1"),
  port,
  tls: listenerTls.optional(),
  allow_plain_http_beyond_loopback: z.boolean().default(false),
});

const proof = z.strictObject({
  algorithms: z
    .array(z.enum(["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"]))
    .min(1)
    .default(["ES256", "EdDSA", "Ed25519"]),
  max_age_s: z.int().min(5).max(300).default(60),
  max_ahead_s: z.int().min(0).max(30).default(5),
  nonce: z.enum(["off", "required"]).default("off"),
  replay_slots: z
    .int()
    .min(65_536)
    .max(2 ** 27)
    .default(2 ** 22)
    .describe("Size of the shared replay table; 8 bytes a slot."),
});

const policy = z.strictObject({
  bundle: filePath.optional().describe("A built bundle (tar.gz). Default: the one that ships with Cordon."),
  source: filePath.optional().describe("A folder of Rego, built with `opa` at every change."),
  data: filePath.optional().describe("A JSON file that replaces the bundle's data at every change."),
  watch: z.boolean().default(true),
  evaluation_budget_ms: ms.default(250).describe("A longer evaluation ends its thread; the second one is refused."),
  input_bytes_max: bytes.default(1_114_112),
  memory_pages_max: z.int().min(32).max(65_536).default(1024).describe("64 KiB each."),
});

const limits = z.strictObject({
  header_bytes_max: bytes.default(32_768),
  headers_max: z.int().min(8).default(100),
  connections_max: z.int().positive().default(10_000).describe("For each listener and data thread."),
  connections_per_peer_max: z
    .int()
    .positive()
    .default(1000)
    .describe(
      "From one address (IPv6: from one /64), for each data thread. Raise it where a load balancer stands in front.",
    ),
  failed_proofs_per_peer_max: z
    .int()
    .positive()
    .default(600)
    .describe(
      "Signatures a minute that may fail from one address (IPv6: from one /64), for each data thread. Beyond it only " +
        "callers that were proven before are verified.",
    ),
  exchanges_max: z.int().positive().default(5000).describe("In flight, for each data thread."),
  exchanges_per_agent_max: z.int().positive().default(500).describe("In flight, for each data thread."),
  streams_max: z.int().positive().default(2000).describe("Open event streams and tunnels, for each data thread."),
  streams_per_agent_max: z.int().positive().default(50).describe("Of one agent, for each data thread."),
  budget_entries: z
    .int()
    .min(64)
    .max(2 ** 20)
    .default(65_536)
    .describe("Counters of `budgets`, for all threads together; where they are full, calls are refused."),
  bodies_bytes_max: bytes
    .default(268_435_456)
    .describe(
      "Request bodies in memory at once, from their first byte to the end of their exchange, for each data thread. One " +
        "agent may hold a quarter.",
    ),
  token_bytes_max: bytes.default(16_384),
  token_cache_entries: z
    .int()
    .positive()
    .default(20_000)
    .describe("Verified tokens and proof keys that are kept, as many of each, for each data thread."),
  headers_timeout_ms: ms.default(10_000),
  request_timeout_ms: ms.default(60_000),
  idle_timeout_ms: ms.default(65_000),
  block_grace_ms: z
    .int()
    .min(0)
    .default(5000)
    .describe(
      "How long an upload or a single response may go on after its agent was contained; streams are cut at once.",
    ),
  drain_timeout_ms: ms.default(10_000).describe("How long open exchanges may take after SIGTERM."),
});

const logTarget = z.union([z.literal("stdout"), z.literal("off"), z.strictObject({ file: filePath })]);

const logs = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error"]).default("info"),
  access: logTarget.default({ file: "logs/access.jsonl" }).describe("A relative file is inside the data folder."),
  decision: logTarget.default({ file: "logs/decision.jsonl" }),
  safe_fields: z
    .array(z.string())
    .default([])
    .describe("Query parameters (`query.NAME`) and arguments (`arguments.POINTER`) whose values may be logged."),
});

const audit = z.strictObject({
  file: z.string().default("audit/audit.jsonl").describe("Inside the data folder."),
  queue_events_max: z.int().positive().default(20_000).describe("For each data thread."),
  commit_interval_ms: z
    .int()
    .min(0)
    .max(1000)
    .default(25)
    .describe("How long the writer gathers before one fdatasync."),
});

const admin = z.strictObject({
  address: z.string().default("127.0.0.1"),
  port: port.default(9080),
  allow_plain_http_beyond_loopback: z.boolean().default(false),
  allowed_hosts: z.array(z.string()).default([]).describe("Further Host values, beside the listener's own."),
});

export const configSchema = z.strictObject({
  version: z.literal(1),
  gateway: z.string().default("cordon").describe("Name of this gateway, `input.environment.gateway`."),
  data_folder: filePath.default("data"),
  threads: z
    .union([z.int().min(1).max(64), z.literal("auto")])
    .default(1)
    .describe("Data threads."),
  listeners: z.array(listener).min(1),
  public_origins: z
    .array(origin)
    .min(1)
    .describe("The origins under which agents reach this gateway; `htu` is built from them."),
  issuers: z.array(issuer).min(1),
  proof: proof.prefault({}),
  broker: broker.optional().describe("The embedded issuer; absent: none is started."),
  routes: z.array(route).min(1),
  quarantine: z
    .strictObject({ monitor: upstream })
    .optional()
    .describe("Where the allowed exchanges of quarantined agents go instead of the tool."),
  budgets: z.array(budget).max(100).default([]).describe("What agents, tasks and tools may use."),
  policy: policy.prefault({}),
  limits: limits.prefault({}),
  logs: logs.prefault({}),
  audit: audit.prefault({}),
  admin: admin.prefault({}),
});

/** The configuration in force: frozen, every default filled in, every path absolute. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
export type ListenerConfig = Config["listeners"][number];
export type IssuerConfig = Config["issuers"][number];
export type ProofConfig = Config["proof"];
export type RouteConfig = Config["routes"][number];
export type BudgetConfig = Config["budgets"][number];
export type UpstreamConfig = RouteConfig["upstream"];
export type BrokerConfig = NonNullable<Config["broker"]>;
export type LimitsConfig = Config["limits"];
