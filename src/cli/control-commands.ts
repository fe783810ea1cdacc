// In: an operator's command line. Out: one call of the operators' API, as text or `--json`, and an exit code.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, the key or the address is wrong.
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import {
  agentsText,
  appliedText,
  containmentText,
  newOperatorText,
  operatorsText,
  policyText,
  statusText,
} from "./control-text.ts";
import { control, type ControlOptions, fail, groupOf, run } from "./run-control.ts";
import { printable } from "./text-table.ts";

interface Options extends ControlOptions {
  readonly reason?: string;
  readonly within?: string;
}

const LEVELS = ["agent", "token", "task", "chain"];
const ROLES = ["viewer", "responder", "policy_editor", "admin"];
const SECONDS = { s: 1, m: 60, h: 3600 } as const;

export function register(program: Command): void {
  control(program.command("status").description("what runs, and how it is")).action((options: Options) =>
    run(options, { method: "GET", path: "/v1/status" }, statusText),
  );
  control(program.command("agents").description("agents seen since the start")).action((options: Options) =>
    run(options, { method: "GET", path: "/v1/agents" }, agentsText),
  );
  control(program.command("containment").description("what is blocked, draining or quarantined")).action(
    (options: Options) => run(options, { method: "GET", path: "/v1/containment" }, containmentText),
  );
  registerContain(program, "block", "blocked", "refuse at once and cut open streams");
  registerContain(
    program,
    "quarantine",
    "quarantined",
    "send what the policy allows to the monitor instead of the tool",
  );
  registerContain(program, "drain", "draining", "let the task in hand go on until a deadline, then block");
  target(program, "release", "end containment").action((level: string, id: string, options: Options) =>
    run(
      options,
      { method: "POST", path: `/v1/containment/${level}/release`, body: { id, reason: options.reason } },
      appliedText,
    ),
  );
  registerPolicy(program);
  registerOperators(program);
}

function registerContain(program: Command, name: string, mode: string, description: string): void {
  const command = target(program, name, description);
  if (mode === "draining") command.option("--within <time>", "how long the task may go on: 90s, 5m, 1h", "5m");
  command.action((level: string, id: string, options: Options) => {
    const drainS = options.within === undefined ? undefined : parseSeconds(options.within);
    if (drainS === null)
      return fail(2, `--within ${options.within} is not a time.\nWrite a number and s, m or h: 90s, 5m, 1h`);
    const body = { id, mode, reason: options.reason, ...(drainS === undefined ? {} : { drain_s: drainS }) };
    return run(options, { method: "PUT", path: `/v1/containment/${level}`, body }, appliedText);
  });
}

function registerPolicy(program: Command): void {
  // Another file may have made the group already.
  const policy = groupOf(program, "policy", "build, test and change the policy");
  control(policy.command("reload").description("read the policy again; a bad one changes nothing")).action(
    (options: Options) => run(options, { method: "POST", path: "/v1/policy/reload" }, policyText),
  );
  const data = groupOf(policy, "data", "the policy's data");
  control(data.command("put <file>").description("replace the policy's data by this JSON file")).action(
    (file: string, options: Options) => {
      const text = readJsonFile(file);
      if (text === undefined) return;
      return run(options, { method: "PUT", path: "/v1/policy/data", text }, policyText);
    },
  );
  control(data.command("reset").description("take data that was put back; the policy's own is in force again")).action(
    (options: Options) => run(options, { method: "DELETE", path: "/v1/policy/data" }, policyText),
  );
}

function registerOperators(program: Command): void {
  const operators = groupOf(program, "operators", "who may administer the gateway");
  control(operators.command("list").description("names and roles")).action((options: Options) =>
    run(options, { method: "GET", path: "/v1/operators" }, operatorsText),
  );
  control(operators.command("add <name> <role>").description(`add one; roles: ${ROLES.join(", ")}`)).action(
    (name: string, role: string, options: Options) => {
      if (!ROLES.includes(role)) return fail(2, `${role} is not a role.\nUse one of ${ROLES.join(", ")}`);
      return run(options, { method: "POST", path: "/v1/operators", body: { name, role } }, newOperatorText);
    },
  );
  control(operators.command("remove <name>").description("remove one; the key is void at once")).action(
    (name: string, options: Options) =>
      run(
        options,
        { method: "DELETE", path: `/v1/operators/${encodeURIComponent(name)}` },
        () => `${printable(name)} is removed.`,
      ),
  );
}

function target(program: Command, name: string, description: string): Command {
  const command = program.command(`${name} <level> <id>`).description(`${description}; level: ${LEVELS.join(", ")}`);
  command.requiredOption("--reason <text>", "why; it stands in every log");
  command.hook("preAction", (_command, self) => {
    const level = self.args[0] ?? "";
    // An error of commander ends the command before its action runs.
    if (!LEVELS.includes(level))
      self.error(`error: ${level} is not a level; use one of ${LEVELS.join(", ")}`, { exitCode: 2 });
  });
  return control(command);
}

function parseSeconds(text: string): number | null {
  const match = /^([1-9][0-9]{0,5})([smh])$/.exec(text);
  if (match === null) return null;
  return Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS];
}

function readJsonFile(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    fail(2, `${file} cannot be read (${error instanceof Error && "code" in error ? String(error.code) : "unknown"}).`);
    return undefined;
  }
  try {
    JSON.parse(text);
    return text;
  } catch (error) {
    fail(2, `${file} is not JSON: ${error instanceof Error ? error.message : "unknown"}.`);
    return undefined;
  }
}
