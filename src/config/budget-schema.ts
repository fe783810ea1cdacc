// In: nothing. Out: the schema of `budgets[]`.
import { z } from "zod";
import { nameSchema as name } from "../lib/application-schema.ts";

const budgetCount = z.int().positive();

export const budget = z.strictObject({
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
  ends_streams: z
    .boolean()
    .default(false)
    .describe("Whether a total that others use up ends the open streams that this budget counts."),
  keep_s: z
    .int()
    .min(3600)
    .max(31_622_400)
    .default(86_400)
    .describe("How long a counter is kept after the last token that used it has expired; then it begins at 0 again."),
});
