// In: the stage. Out: a step in which an agent reads what a stranger wrote, and its later writes are denied for it.
import { NOTES } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { toolVerdict, withClient } from "./mcp-step.ts";

interface Labelled {
  readonly sessions: readonly { readonly task: string; readonly labels: readonly string[] }[];
}

export const mcpTaintStep: Step = {
  id: "mcp-taint",
  title: "An agent that has read a stranger's note writes no more, also with a new key, until an operator has looked.",
  expected: [
    "keep-note: 200",
    "read-note: 200",
    "keep-note: 403 access_denied",
    "with a new key: 403 access_denied",
    "the operator sees: tainted",
    "removed: 200",
  ],
  async run(stage) {
    const [kept, read, denied] = await withClient(stage, `/${NOTES}`, async (client) => [
      await toolVerdict(client, "keep-note", { id: "N1" }),
      await toolVerdict(client, "read-note", { id: "N1" }),
      await toolVerdict(client, "keep-note", { id: "N1" }),
    ]);
    const other = await keepNote(stage);
    const { sessions } = await stage.admin.ask<Labelled>("labels", "list");
    const [session] = sessions;
    await stage.admin.ask("labels", "remove", session?.task ?? "", "--reason", "the note was harmless");
    return {
      facts: [
        `keep-note: ${kept}`,
        `read-note: ${read}`,
        `keep-note: ${denied}`,
        `with a new key: ${other}`,
        `the operator sees: ${session?.labels.join() ?? "nothing"}`,
        `removed: ${await keepNote(stage)}`,
      ],
      note: "the label hangs on the task, not on the token",
    };
  },
};

function keepNote(stage: Stage): Promise<string> {
  return withClient(stage, `/${NOTES}`, (client) => toolVerdict(client, "keep-note", { id: "N1" }));
}
