// In: nothing. Out: the schema of `broker`, the embedded issuer.
import { z } from "zod";
import { ceilingMembers, nameSchema as name } from "../lib/application-schema.ts";
import { identityProvider } from "./issuer-schema.ts";
import { filePath, origin, port } from "./schema-values.ts";

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

const publisher = z.strictObject({
  name: z.string().min(1).describe("Exactly the `iss` of its agent manifests."),
  jwks: filePath.describe("JWKS file with its public keys."),
});

export const broker = z.strictObject({
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
