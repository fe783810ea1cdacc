// In: nothing. Out: the schema of `routes[]`: what a caller may ask for, and the tool behind it.
import { z } from "zod";
import { nameSchema as name } from "../lib/application-schema.ts";
import { mcp } from "./mcp-schema.ts";
import { bytes, filePath, headerName, headerText, httpUrl, ms, origin, secretSource } from "./schema-values.ts";

const method = z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export const upstream = z.strictObject({
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

const openapi = z.strictObject({
  file: filePath.describe("OpenAPI 3.0 or 3.1, JSON or YAML; read once, at start."),
  base_path: z
    .string()
    .regex(/^\/[^{}?#*]*[^/{}?#*]$/, "write a plain path without a slash at its end")
    .optional()
    .describe("What stands before the document's own paths; `upstream.strip_prefix` where absent."),
});

export const route = z.strictObject({
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
