// In: the raw value of a configuration. Out: those of its parts that are well-formed, each at its own place.
// A fault in one part must not hide the faults of the others, so the later checks run on what is left.
import { z } from "zod";
import { configSchema } from "./schema.ts";

export type ParsedConfig = z.output<typeof configSchema>;

type Elements<T> = T extends (infer U)[] ? (U | undefined)[] : T | undefined;

/** Every section that could not be read is undefined; so is every element of a list. */
export type ConfigView = { [K in keyof ParsedConfig]: Elements<ParsedConfig[K]> };

export function viewOf(raw: unknown): ConfigView {
  const source = typeof raw === "object" && raw !== null ? (raw as Record<string, unknown>) : {};
  const view: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(configSchema.shape)) {
    const value = Object.hasOwn(source, key) ? source[key] : undefined;
    view[key] = schema instanceof z.ZodArray ? elementsOf(schema.element, value) : parsed(schema, value);
  }
  return view as unknown as ConfigView;
}

function elementsOf(schema: z.core.$ZodType, value: unknown): unknown[] {
  return Array.isArray(value) ? value.map((element: unknown) => parsed(schema, element)) : [];
}

function parsed(schema: z.core.$ZodType, value: unknown): unknown {
  const result = z.safeParse(schema, value);
  return result.success ? result.data : undefined;
}
