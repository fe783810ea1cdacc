// In: nothing. Out: the schema of `routes[].mcp.tools`.
import { z } from "zod";

export const toolPins = z.strictObject({
  pin: z
    .enum(["first_use", "accepted_only", "off"])
    .default("first_use")
    .describe(
      "`first_use`: the tools of the first whole list are pinned as they are. `accepted_only`: each is, once an operator accepted it. `off`: neither definitions nor arguments are checked.",
    ),
  on_drift: z
    .enum(["block", "log"])
    .default("block")
    .describe("`block`: a tool that is new or not as it was pinned is neither shown nor callable until accepted."),
});
