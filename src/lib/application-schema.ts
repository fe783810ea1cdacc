// In: what an operator or a configuration file says about an application. Out: its checked ceiling, with defaults.
// An application is an orchestrator that may launch agents; its ceiling is all that it can ever give them.
import { z } from "zod";
import type { DeepReadonly } from "./deep-readonly.ts";
import { isScope } from "./narrowing.ts";

export const APPLICATION_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** Agents delegate at most this often in a row (the pattern's own limit). */
const DEPTH_MAX = 5;
/** 30 days: what runs longer is launched again. */
const LIFETIME_S_MAX = 2_592_000;
/** An ended and a renewed credential of each fill what a gateway remembers of revocations (300,000) not quite. */
const AGENTS_MAX = 140_000;
/** A control character in a name could forge a line of a log. */
const PRINCIPAL = /^[a-z][a-z0-9_-]{0,62}:(?:\*|[^\p{Cc}\u2028\u2029*]{1,255})$/u;

/** Of an application, and of all that a configuration names. */
export const nameSchema = z
  .string()
  .regex(APPLICATION_NAME, "use lower-case letters, digits, `-` and `_`, at most 63 characters");

/** All that an application may ever grant. */
export const ceilingMembers = {
  orchestrations: z
    .array(z.union([nameSchema, z.literal("*")]))
    .min(1)
    .describe("Names under which it may launch agents; `*` for any."),
  scope: z
    .array(z.string().refine(isScope, "write a scope as `action:resource:identifier`; only the identifier may be `*`"))
    .default([]),
  authorization_details: z.array(z.looseObject({ type: z.string().min(1) })).default([]),
  constraints: z.record(z.string(), z.unknown()).default({}),
  principals: z
    .array(z.string().regex(PRINCIPAL, "write a principal as `type:id`, or `type:*` for any of a type"))
    .default([])
    .describe("On whose behalf its agents may act: `user:alice`, or `service:*`."),
  token_ttl_s_max: z.int().min(60).max(3600).default(300).describe("Longest life of one token."),
  lifetime_s_max: z.int().min(60).max(LIFETIME_S_MAX).default(3600).describe("Longest life of one agent."),
  renewals_max: z.int().min(0).max(100_000).default(100).describe("How often an agent may renew its token."),
  agents_max: z
    .int()
    .min(1)
    .max(AGENTS_MAX)
    .default(20_000)
    .describe(
      "How many of its agents may live at once, those that ended counted until their token would have run out.",
    ),
  depth_max: z.int().min(0).max(DEPTH_MAX).default(0).describe("How often its agents may delegate in a row."),
} as const;

/** An application as the operators' API takes it, with its public keys inside. */
export const applicationSchema = z.strictObject({
  name: nameSchema,
  jwks: z.looseObject({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(16) }),
  ...ceilingMembers,
});

export type Application = DeepReadonly<z.output<typeof applicationSchema>>;
