// In: the operations of a route, then a method and decoded path segments. Out: the operation that is called, or a denial.
// A path that the document writes out wins over one with a parameter, as OpenAPI wants it.
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { RouteInput } from "../build-input.ts";
import { createRouteTable } from "../match-route.ts";
import type { ApiOperation } from "./operation.ts";

export interface FoundOperation {
  readonly operation: ApiOperation;
  /** What policy sees of the route, with the operation as its tool. */
  readonly input: RouteInput;
  readonly pathValues: Readonly<Record<string, string>>;
}

export interface NoOperation {
  readonly denial: Denial;
  /** The methods that the document describes for this path. */
  readonly allow?: string;
}

export interface OperationTable {
  find(method: string, segments: readonly string[]): Result<FoundOperation, NoOperation>;
}

interface Entry {
  readonly operation: ApiOperation;
  readonly input: RouteInput;
}

export function createOperationTable(operations: readonly ApiOperation[], route: RouteInput): OperationTable {
  const paths = new Map<string, Map<string, Entry>>();
  for (const operation of operations) {
    const methods = paths.get(operation.path) ?? new Map<string, Entry>();
    paths.set(operation.path, methods);
    const input = { ...route, tool: operation.name, toolJson: JSON.stringify(operation.name) };
    methods.set(operation.method, { operation, input });
  }
  const table = createRouteTable(
    [...paths].map(([text, methods]) => {
      const segments = [...methods.values()][0]?.operation.segments ?? [];
      return { route: methods, template: { text, segments, rest: false } };
    }),
  );
  const any = (): boolean => true;
  return {
    find(method, segments) {
      const match = table.find(segments, any, any);
      if (match === undefined) return err({ denial: deny("operation.unknown") });
      const entry = match.route.get(method);
      if (entry === undefined) {
        return err({ denial: deny("operation.method"), allow: [...match.route.keys()].join(", ") });
      }
      return ok({ ...entry, pathValues: match.params });
    },
  };
}
