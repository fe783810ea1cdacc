// In: nothing. Out: every property, in the order in which they run.
import { BUDGETS } from "./budget.ts";
import { CLAIMS } from "./claims.ts";
import { DELEGATION } from "./delegation.ts";
import { DELEGATED_TOKENS } from "./delegated-token.ts";
import { HEADERS } from "./headers.ts";
import { JSON_PARSERS } from "./json.ts";
import { JWS } from "./jws.ts";
import { LOG_LINES } from "./log-line.ts";
import { POLICY } from "./policy.ts";
import { PROOFS } from "./proof.ts";
import type { AnyProperty } from "./property.ts";
import { REDACTION } from "./redact.ts";
import { ROUTES } from "./routes.ts";
import { SIDECAR } from "./sidecar.ts";
import { TARGET } from "./target.ts";
import { TOOL_ARGUMENTS } from "./tool-arguments.ts";

export const ALL_PROPERTIES: readonly AnyProperty[] = [
  ...TARGET,
  ...ROUTES,
  ...HEADERS,
  ...JSON_PARSERS,
  ...JWS,
  ...PROOFS,
  ...CLAIMS,
  ...DELEGATION,
  ...DELEGATED_TOKENS,
  ...REDACTION,
  ...LOG_LINES,
  ...POLICY,
  ...BUDGETS,
  ...SIDECAR,
  ...TOOL_ARGUMENTS,
];
