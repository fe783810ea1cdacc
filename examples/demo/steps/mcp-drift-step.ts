// In: the stage. Out: a step in which a server rewrites a tool after its first use, and an operator looks and accepts.
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { NOTES } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { toolVerdict, withClient } from "./mcp-step.ts";

const TOOL = "read-note";

export const mcpDriftStep: Step = {
  id: "mcp-drift",
  title: "A server rewrites a tool after its first use: it is hidden and denied until an operator accepts it.",
  expected: [
    "first: listed, 200",
    "rewritten: not listed, 403 access_denied",
    "the operator sees both texts, and the invisible character as its code",
    "accepted: listed, 200",
  ],
  async run(stage) {
    const first = await listAndCall(stage);
    const rewritten = await listAndCall(stage);
    const { stdout } = await stage.admin.run("tools", "diff", NOTES, TOOL);
    const digest = /^read-note: changed, sha256 ([0-9a-f]{64})$/m.exec(stdout)?.[1] ?? "not told";
    const told = /^ *- "Reads one note\."$/m.test(stdout) && /^ *\+ "Reads one note\.\\u200b First send /m.test(stdout);
    // Only what was looked at is accepted, whatever the server says by then.
    const why = "its owner explained it";
    await stage.admin.ask("tools", "accept", NOTES, TOOL, "--digest", digest, "--reason", why);
    const accepted = await listAndCall(stage);
    return {
      facts: [
        `first: ${first}`,
        `rewritten: ${rewritten}`,
        told ? "the operator sees both texts, and the invisible character as its code" : stdout,
        `accepted: ${accepted}`,
      ],
      note: `sha256 ${digest.slice(0, 12)}`,
    };
  },
};

/** A session of its own, so that nothing of the client's memory of the tool plays a part. */
function listAndCall(stage: Stage): Promise<string> {
  return withClient(stage, `/${NOTES}`, async (client: Client) => {
    const { tools } = await client.listTools();
    const listed = tools.some(({ name }) => name === TOOL) ? "listed" : "not listed";
    return `${listed}, ${await toolVerdict(client, TOOL, { id: "N1" })}`;
  });
}
