// In: nothing. Out: the one zod schema from which the types, the checks and the JSON Schema come.
// Every object is strict: an unknown key is a problem, never ignored. Units stand at the end of names.
import { z } from "zod";
import { createMcpSchema } from "./mcp-schema.ts";
import { ceilingMembers } from "../lib/application-schema.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "use lower-case letters, digits, `-` and `_`, at most 63 characters");
const port = z.int().min(0).max(65_535);
const filePath = z.string().min(1).describe("A file path, relative to the configuration file.");
const origin = z.string().regex(/^https?:\/\/[^/?#@]+$/, "write an origin: scheme, host and optional port, no path");
// RFC 9110 section 5.1 and 5.5. undici refuses anything else at each request, and then keeps no connection to the tool.
const headerName = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, "write the name of a header");
const headerText = z.string().regex(/^[\t\x20-\x7e]*$/, "write plain text without line breaks");
const httpUrl = z.url({ protocol: /^https?$/ });
const method = z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const bytes = z.int().positive();
const ms = z.int().positive();

const signatureAlgorithm = z.enum([
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
]);

const secretSource = z
  .union([z.strictObject({ file: filePath }), z.strictObject({ env: z.string().min(1) })])
  .describe("Where a secret comes from: `file` (trailing newline removed) or `env`.");

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

const jwks = z
  .union([
    z.strictObject({ file: filePath.describe("Read again when it changes.") }),
    z.strictObject({
      url: httpUrl,
      cooldown_s: z.int().min(1).default(30).describe("At most one fetch in this time, whatever `kid` is asked for."),
      max_age_s: z.int().min(1).default(300),
      timeout_ms: ms.default(3000),
      allow_private_addresses: z.boolean().default(false),
    }),
  ])
  .describe("The issuer's public keys; of `kind: spiffe` the bundle of its trust domain.");

const claimSource = z
  .union([z.strictObject({ claim: z.string().min(1) }), z.strictObject({ value: z.unknown() })])
  .describe("A claim by dotted path or JSON pointer, or a constant.");

const claimMapping = z
  .partialRecord(
    z.enum([
      "agent.id",
      "agent.orchestration",
      "agent.task",
      "agent.instance",
      "principal.type",
      "principal.id",
      "principal.issuer",
      "principal.attributes",
      "intent.task",
      "intent.purpose",
      "intent.scope",
      "intent.details",
      "intent.constraints",
      "provenance.model",
      "provenance.model_version",
      "provenance.deployment",
      "provenance.environment",
      "provenance.config_digest",
      "provenance.image_digest",
      "provenance.prompt_digest",
      "provenance.publisher",
      "provenance.verified",
      "session.id",
      "session.root_request",
      "session.initiator",
      "session.depth",
      "session.chain",
    ]),
    claimSource,
  )
  .describe("How this issuer's claims become Cordon's four; what is not mapped is read from the `cordon` claim names.");

const issuer = z.strictObject({
  kind: z
    .enum(["oauth", "spiffe"])
    .default("oauth")
    .describe(
      "`oauth`: access tokens (RFC 9068). `spiffe`: JWT-SVIDs of the trust domain, found by their `sub` where they have " +
        "no `iss`, and bound by `cnf` or to the X.509-SVID of the same id on the connection.",
    ),
  issuer: z.string().min(1).describe("Exactly the `iss` of its tokens."),
  audience: z.array(z.string().min(1)).min(1).describe("Accepted `aud` values; one must match."),
  trust_domain: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,254}$/),
  algorithms: z.array(signatureAlgorithm).min(1).default(["ES256", "EdDSA"]),
  token_types: z
    .array(z.string())
    .min(1)
    .optional()
    .describe("Accepted `typ` values; `at+jwt` where absent. A JWT-SVID has `JWT`, `JOSE` or none, and no other."),
  jwks,
  leeway_s: z.int().min(0).max(60).default(30),
  max_lifetime_s: z.int().min(60).default(3600),
  claims: claimMapping.default({}),
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

const upstream = z.strictObject({
  url: httpUrl.describe("Origin and optional base path of the tool."),
  strip_prefix: z
    .string()
    .regex(/^\/.*[^/]$/)
    .optional()
    .describe("Removed from the start of the path before forwarding."),
  server_name: z.string().optional().describe("Name to verify in the tool's certificate, if not the URL's host."),
  spiffe_id: z.string().startsWith("spiffe://").optional().describe("URI name the tool's certificate must carry."),
  ca: filePath.optional(),
  client_certificate: filePath.optional(),
  client_key: filePath.optional(),
  allow_private_addresses: z.boolean().default(false),
  credential: z
    .strictObject({ header: headerName.default("authorization"), prefix: headerText.default(""), from: secretSource })
    .optional(),
  connections_max: z.int().min(1).max(4096).default(256),
  connect_timeout_ms: ms.default(2000),
  headers_timeout_ms: ms.default(30_000),
  body_idle_timeout_ms: ms.default(300_000),
});

const routeLimits = z.strictObject({
  body_bytes_max: bytes.default(1_048_576),
  response_bytes_max: bytes.default(104_857_600),
  redact_bytes_max: bytes
    .max(16_777_216)
    .default(2_097_152)
    .describe(
      "For a response that policy redacts, a list of an MCP server, or one event with it: each is parsed whole, and nothing else runs on its thread meanwhile.",
    ),
  body_depth_max: z.int().min(1).max(512).default(64),
});

const mcp = createMcpSchema(origin);

const openapi = z.strictObject({
  file: filePath.describe("OpenAPI 3.0 or 3.1, JSON or YAML; read once, at start."),
  base_path: z
    .string()
    .regex(/^\/[^{}?#*]*[^/{}?#*]$/, "write a plain path without a slash at its end")
    .optional()
    .describe("What stands before the document's own paths; `upstream.strip_prefix` where absent."),
});

const route = z.strictObject({
  name,
  kind: z
    .enum(["http", "mcp"])
    .default("http")
    .describe("`mcp`: one MCP endpoint; policy sees the message, its tool and its arguments."),
  mcp: mcp.optional().describe("For a route of kind `mcp`."),
  path: z
    .string()
    .regex(/^\//)
    .describe("Path template: `/jobs/{job_id}/candidates/{id}`; a last segment `**` matches the rest."),
  host: origin.optional().describe("One of `public_origins`; all of them where absent."),
  methods: z.array(method).min(1),
  mode: z.enum(["enforce", "observe"]).default("enforce").describe("`observe` relaxes the policy's verdict only."),
  encoded_slash: z.enum(["refuse", "segment"]).default("refuse"),
  resource: z.strictObject({
    type: z.string().min(1),
    classification: z.string().min(1),
    owner: z.string().default(""),
    attributes: z.record(z.string(), z.string()).default({}),
  }),
  tool: z.string().optional().describe("The tool's name as policy sees it; the route's name where absent."),
  openapi: openapi
    .optional()
    .describe("The document whose operations are the tools of this route; what it does not describe is refused."),
  body: z
    .enum(["json", "stream"])
    .default("json")
    .describe("`json`: policy sees the parsed body. `stream`: never read."),
  upgrade: z.array(z.enum(["websocket"])).default([]),
  audit: z.enum(["strict", "batched"]).default("batched"),
  limits: routeLimits.prefault({}),
  upstream,
});

const budgetCount = z.int().positive();

const budget = z.strictObject({
  name,
  match: z
    .strictObject({
      routes: z.array(name).min(1).optional().describe("Names of routes; all where absent."),
      tools: z
        .array(z.string().min(1))
        .min(1)
        .optional()
        .describe("Names of tools as policy sees them, on routes of both kinds; every call where absent."),
    })
    .prefault({}),
  per: z
    .array(z.enum(["agent", "task", "tool"]))
    .min(1)
    .describe("For what there is a counter of its own: each agent, task or tool, or each pair or triple of them."),
  calls_per_minute: budgetCount.optional(),
  calls_total: budgetCount.optional(),
  request_bytes_total: budgetCount.optional().describe("Bytes of request bodies."),
  concurrent: budgetCount.optional().describe("Calls whose answer has not ended, over all data threads."),
  sum: z
    .strictObject({
      argument: z
        .string()
        .regex(/^(?:\/(?:[^~/]|~[01])*)+$/, "write a JSON pointer such as `/amount`")
        .describe("JSON pointer into the arguments: a non-negative whole number, in minor units."),
      max: z.int().nonnegative(),
      required: z.boolean().default(true).describe("Whether a call without the argument is refused; else it counts 0."),
    })
    .optional(),
  keep_s: z
    .int()
    .min(3600)
    .max(31_622_400)
    .default(86_400)
    .describe("How long a counter is kept after the last token that used it has expired; then it begins at 0 again."),
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

const brokerClient = z.strictObject({
  client_id: name,
  jwks: filePath.describe("JWKS file with the client's public keys (private_key_jwt)."),
  orchestration: name,
  task: name,
  purpose: z.string().default(""),
  scope: z.array(z.string()).default([]),
  constraints: z.record(z.string(), z.unknown()).default({}),
  principal: z.strictObject({
    type: z.string(),
    id: z.string(),
    attributes: z.record(z.string(), z.unknown()).default({}),
  }),
  provenance: z.strictObject({
    model: z.string(),
    model_version: z.string(),
    deployment: z.string(),
    environment: z.string(),
    config_digest: z.string().default(""),
  }),
  initiator: z.strictObject({ type: z.string(), id: z.string() }),
});

const brokerApplication = z.strictObject({
  name,
  jwks: filePath.describe("JWKS file with the orchestrator's public keys (private_key_jwt)."),
  ...ceilingMembers,
});

const identityProvider = z.strictObject({
  issuer: z.string().min(1).describe("Exactly the `iss` of its tokens."),
  audience: z.array(z.string().min(1)).min(1).describe("Accepted `aud` values; one must match."),
  algorithms: z.array(signatureAlgorithm).min(1).default(["ES256", "EdDSA"]),
  jwks: z
    .union([z.strictObject({ file: filePath }), z.strictObject({ url: httpUrl })])
    .describe("The provider's public keys."),
  principal: z
    .strictObject({
      type: z
        .string()
        .regex(/^[a-z][a-z0-9_-]{0,62}$/)
        .default("user"),
      id_claim: z.string().min(1).default("sub"),
      attribute_claims: z.array(z.string().min(1)).default([]),
    })
    .prefault({})
    .describe("How its claims become a principal."),
});

const publisher = z.strictObject({
  name: z.string().min(1).describe("Exactly the `iss` of its agent manifests."),
  jwks: filePath.describe("JWKS file with its public keys."),
});

const broker = z.strictObject({
  address: z.string().default("127.0.0.1"),
  port: port.default(8081),
  allow_plain_http_beyond_loopback: z.boolean().default(false),
  issuer: origin,
  trust_domain: z.string(),
  token_ttl_s: z.int().min(60).max(3600).default(300),
  key_rotation_days: z.int().min(1).max(3650).default(30).describe("For how long a key signs."),
  key_overlap_s: z
    .int()
    .min(2)
    .max(86_400)
    .default(600)
    .describe("For how long a new key is published before it signs: longer than any gateway keeps a key set."),
  clients: z.array(brokerClient).default([]),
  applications: z
    .array(brokerApplication)
    .default([])
    .describe("Orchestrators that may launch agents, beside those that operators add; each is written over at start."),
  identity_providers: z
    .array(identityProvider)
    .default([])
    .describe("Whose tokens prove for whom an agent is launched."),
  x509_svid: z
    .boolean()
    .default(false)
    .describe("Agents may ask for a certificate of their key (X.509-SVID), from an authority of this issuer."),
  resource_servers: z
    .array(z.strictObject({ client_id: name, jwks: filePath.describe("JWKS file with its public keys.") }))
    .default([])
    .describe("Clients that may ask `/introspect` about every token of this issuer."),
  publishers: z.array(publisher).default([]).describe("Whose signed agent manifests are verified."),
  authorization_details_types: z
    .array(z.string().min(1))
    .default([])
    .describe("Types of `authorization_details` (RFC 9396); others are refused."),
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
