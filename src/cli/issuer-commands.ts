// In: an operator's command line for the embedded issuer. Out: one call of the operators' API, as text or `--json`.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, a file, the key or the address is wrong.
import type { Command } from "commander";
import { applicationsText, applicationText, keysText, nextKeyText, removedText, revokedText } from "./issuer-text.ts";
import { readApplication, readPublicKeys } from "./read-application.ts";
import { control, type ControlOptions, fail, groupOf, run } from "./run-control.ts";

const LEVELS = ["token", "agent", "task", "chain"];

const FILE_HELP = `
FILE is YAML or JSON:
  name: hiring                             lower-case; the orchestrator's client_id
  jwks: hiring.jwks.json                   its public keys (P-256 or Ed25519), beside this file
  orchestrations: [hiring]                 names under which it may launch agents
  scope: ["read:candidates:*"]             all that it may ever grant
  principals: ["user:*"]                   on whose behalf its agents may act
Optional: authorization_details, constraints, token_ttl_s_max (300), lifetime_s_max (3600), renewals_max (100),
depth_max (0: its agents do not delegate).
`;

const REVOKE_HELP = `
Levels and ids:
  token   "<issuer> <jti>"                 this token; its agent gets no other one
  agent   spiffe://td/agent/o/t/i          the agent and everyone it delegated to
  task    spiffe://td/agent/o/t            all agents of the task, and launches that are under way
  chain   "<issuer> <session id>"          everyone who descends from one launch
What is revoked stays revoked; to stop something for a while, use \`cordon block\` and \`cordon release\`.
`;

export function register(program: Command): void {
  registerKeys(program);
  registerApplications(program);
  const revoke = program
    .command("revoke <level> <id>")
    .description(`end a credential for good; level: ${LEVELS.join(", ")}`);
  revoke.requiredOption("--reason <text>", "why; it stands in every log").addHelpText("after", REVOKE_HELP);
  control(revoke).action((level: string, id: string, options: ControlOptions & { reason: string }) => {
    if (!LEVELS.includes(level)) return fail(2, `${level} is not a level.\nUse one of ${LEVELS.join(", ")}`);
    const body = { id, reason: options.reason };
    return run(options, { method: "POST", path: `/v1/revocations/${level}`, body }, revokedText);
  });
}

function registerKeys(program: Command): void {
  const keys = groupOf(program, "keys", "the issuer's signing keys");
  control(keys.command("list").description("which key signs, which comes next, which are still good")).action(
    (options: ControlOptions) => run(options, { method: "GET", path: "/v1/keys" }, keysText),
  );
  control(
    keys.command("rotate").description("publish a new key; it signs after the overlap, and no request is refused"),
  ).action((options: ControlOptions) => run(options, { method: "POST", path: "/v1/keys/rotate" }, nextKeyText));
}

function registerApplications(program: Command): void {
  const app = groupOf(program, "app", "applications, whose orchestrators may launch agents");
  control(app.command("list").description("all of them")).action((options: ControlOptions) =>
    run(options, { method: "GET", path: "/v1/applications" }, applicationsText),
  );
  control(app.command("show <name>").description("one, with its public keys and its ceiling")).action(
    (name: string, options: ControlOptions) => run(options, { method: "GET", path: pathOf(name) }, applicationText),
  );
  const add = app.command("add <file>").description("add one, at work at once").addHelpText("after", FILE_HELP);
  add.option("--replace", "change the one of this name; a lower ceiling reaches agents that live");
  control(add).action((file: string, options: ControlOptions & { replace?: boolean }) => {
    const read = readApplication(file);
    if (!read.ok) return fail(2, read.error);
    const name = String(read.value["name"]);
    const target =
      options.replace === true
        ? ({ method: "PUT", path: pathOf(name) } as const)
        : ({ method: "POST", path: "/v1/applications" } as const);
    const done = options.replace === true ? "is changed" : "may launch agents";
    return run(options, { ...target, body: read.value }, () => `${name} ${done}.`);
  });
  const rotate = app.command("rotate <name> <jwks-file>").description("replace its public keys");
  rotate.addHelpText(
    "after",
    "\nFor a change without a gap, first a file with the old and the new key, then the new one alone.\n",
  );
  control(rotate).action((name: string, file: string, options: ControlOptions) => {
    const keys = readPublicKeys(file);
    if (!keys.ok) return fail(2, keys.error);
    const path = `${pathOf(name)}/keys`;
    return run(options, { method: "PUT", path, body: keys.value }, () => `${name} signs with these keys from now on.`);
  });
  const remove = app.command("remove <name>").description("remove one, and end all its agents");
  remove.requiredOption("--reason <text>", "why; it stands in every log");
  control(remove).action((name: string, options: ControlOptions & { reason: string }) =>
    run(options, { method: "DELETE", path: pathOf(name), body: { reason: options.reason } }, removedText),
  );
}

function pathOf(name: string): string {
  return `/v1/applications/${encodeURIComponent(name)}`;
}
