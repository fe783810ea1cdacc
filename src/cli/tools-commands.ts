// In: an operator's command line for the tools of MCP servers. Out: one call of the operators' API, as text or `--json`.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, the key or the address is wrong.
import type { Command } from "commander";
import type { ToolShown } from "../admin/control-plane.ts";
import { control, type ControlOptions, groupOf, run } from "./run-control.ts";
import { acceptedText, serversText, waitingText } from "./tools-text.ts";

const ACCEPT_HELP = `
What was seen last is in force from then on; a tool that vanished is forgotten. Look at it first with \`cordon tools diff\`,
and give the digest that it shows: what has changed since is then not accepted.
`;

export function register(program: Command): void {
  const tools = groupOf(program, "tools", "the tools of MCP servers, and what changed of them");
  control(tools.command("list").description("what is pinned, and what waits to be accepted")).action(
    (options: ControlOptions) => run(options, { method: "GET", path: "/v1/tools" }, serversText),
  );
  control(tools.command("diff <route> [tool]").description("what waits to be accepted, as it was and as it is")).action(
    (route: string, tool: string | undefined, options: ControlOptions) =>
      run(
        options,
        { method: "GET", path: `/v1/tools/${encodeURIComponent(route)}/waiting` },
        (answer: { readonly tools: readonly ToolShown[] }) => waitingText(route, tool, answer.tools),
      ),
  );
  const accept = tools.command("accept <route> [tool]").description("accept a tool as it is now, or all of a route");
  accept.requiredOption("--reason <text>", "why; it stands in every log");
  accept.option("--digest <sha256>", "only this definition").addHelpText("after", ACCEPT_HELP);
  control(accept).action(
    (route: string, tool: string | undefined, options: ControlOptions & { reason: string; digest?: string }) => {
      const { reason, digest } = options;
      const body = { reason, ...(tool === undefined ? {} : { tool }), ...(digest === undefined ? {} : { digest }) };
      return run(
        options,
        { method: "POST", path: `/v1/tools/${encodeURIComponent(route)}/accept`, body },
        acceptedText,
      );
    },
  );
}
