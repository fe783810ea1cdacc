// In: nothing. Out: the schemas of who is believed: issuers of agents' tokens, and providers that say who a principal is.
import { z } from "zod";
import { VERIFIED_ALGORITHMS } from "../lib/signature-verifier.ts";
import { filePath, httpUrl, ms } from "./schema-values.ts";

const signatureAlgorithm = z.enum(VERIFIED_ALGORITHMS);

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

export const issuer = z.strictObject({
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

export const identityProvider = z.strictObject({
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
