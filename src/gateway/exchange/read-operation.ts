// In: a request of a proven agent on a route with an OpenAPI document. Out: the operation that it calls and its arguments, or
// a denial. Joins the pure readers of `action/openapi` with what is known of the exchange.
import type { HeaderFacts } from "../../action/check-headers.ts";
import type { OperationTable } from "../../action/openapi/operation-table.ts";
import { addBody, type Arguments, readParameters } from "../../action/openapi/read-arguments.ts";
import type { Target } from "../../action/parse-target.ts";
import type { Denial } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { ExchangeFacts } from "../thread/services.ts";

export interface OperationCall {
  /** `input.action.arguments`; `body` is undefined where there is none. */
  withBody(body: unknown): Result<Arguments, Denial>;
}

/** What can be refused before the body is read. Writes the operation into the facts, for policy and the logs. */
export function readOperation(
  operations: OperationTable,
  x: ExchangeFacts,
  target: Target,
  headers: HeaderFacts,
  rawHeaders: readonly string[],
): Result<OperationCall, { readonly denial: Denial; readonly allow?: string }> {
  const found = operations.find(x.method, target.segments);
  if (!found.ok) return found;
  x.operation = found.value.input;
  const values = readParameters(found.value, target.query, rawHeaders, headers.hasBody);
  if (!values.ok) return err({ denial: values.error });
  return ok({ withBody: (body) => addBody(found.value.operation, values.value, body, headers.contentType) });
}
