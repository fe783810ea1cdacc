// In: nothing. Out: the schema of `routes[].mcp`.
import { z } from "zod";
import { origin } from "./schema-values.ts";

/** Of a route that says nothing of it. */
export const TOOL_PINS = { pin: "first_use", on_drift: "block" } as const;

const toolPins = z.strictObject({
  pin: z
    .enum(["first_use", "accepted_only", "off"])
    .default(TOOL_PINS.pin)
    .describe(
      "`first_use`: the tools of the first whole list are pinned as they are. `accepted_only`: each is, once an operator accepted it. `off`: neither definitions nor arguments are checked.",
    ),
  on_drift: z
    .enum(["block", "log"])
    .default(TOOL_PINS.on_drift)
    .describe("`block`: a tool that is new or not as it was pinned is neither shown nor callable until accepted."),
});

export const mcp = z.strictObject({
  versions: z
    .array(z.enum(["2025-11-25", "2026-07-28"]))
    .min(1)
    .default(["2025-11-25", "2026-07-28"])
    .describe("Versions of MCP that are spoken here; without 2025-11-25 only POST is."),
  allowed_origins: z
    .array(origin)
    .default([])
    .describe("Origins of web pages that may call, beside `public_origins`; any other `Origin` is refused."),
  tools: toolPins.prefault({}),
});
