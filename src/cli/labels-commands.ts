// In: an operator's command line for the labels of sessions. Out: one call of the operators' API, as text or `--json`.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, the key or the address is wrong.
import type { Command } from "commander";
import { control, type ControlOptions, groupOf, run } from "./run-control.ts";
import { textTable } from "./text-table.ts";

interface LabelledSession {
  readonly chain: string;
  readonly task: string;
  readonly labels: readonly string[];
  readonly until: string;
}

const REMOVE_HELP = `
The id is a chain or a task as \`cordon labels list\` shows it, between quotes. A session may be under a label by either: an
agent is free of it once no row of its chain and none of its task is left.
`;

export function register(program: Command): void {
  const labels = groupOf(program, "labels", "what the policy has called the answers of sessions");
  control(labels.command("list").description("the sessions that have labels")).action((options: ControlOptions) =>
    run(options, { method: "GET", path: "/v1/labels" }, sessionsText),
  );
  const remove = labels.command("remove <id>").description("take the labels of a chain or of a task back");
  remove.requiredOption("--reason <text>", "why; it stands in every log").addHelpText("after", REMOVE_HELP);
  control(remove).action((id: string, options: ControlOptions & { reason: string }) =>
    run(
      options,
      { method: "POST", path: "/v1/labels/remove", body: { id, reason: options.reason } },
      ({ sessions }: { readonly sessions: number }) => `Removed the labels of ${sessions}.`,
    ),
  );
}

function sessionsText({ sessions }: { readonly sessions: readonly LabelledSession[] }): string {
  if (sessions.length === 0) return "No session has a label.";
  const rows = sessions.map(({ chain, task, labels, until }) => [labels.join(" "), chain, task, until]);
  return textTable(["LABELS", "CHAIN", "TASK AND PRINCIPAL", "UNTIL"], rows);
}
