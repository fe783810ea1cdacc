// In: the schema of the configuration. Out: the same as JSON Schema 2020-12, for editors and for docs/config.schema.json.
import { z } from "zod";
import { configSchema } from "./schema.ts";

export interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly items?: JsonSchemaNode;
  readonly anyOf?: readonly JsonSchemaNode[];
  readonly [keyword: string]: unknown;
}

/** What a person may write: keys that have a default are not required. */
export function configJsonSchema(): JsonSchemaNode {
  return { title: "Cordon configuration", ...z.toJSONSchema(configSchema, { io: "input" }) } as JsonSchemaNode;
}
