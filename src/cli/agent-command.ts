// In: a launch token and a command. Out: the command run behind the sidecar, and its exit code.
import { type Command, InvalidArgumentError, Option } from "commander";
import { CordonError } from "../agent/cordon-error.ts";
import type { KeyAlgorithm } from "../agent/create-key.ts";
import { readLaunchToken } from "../agent/read-launch-token.ts";
import { BASE_URL_VARIABLE, EXIT_AGENT_ENDED, runSidecar } from "../agent/run-sidecar.ts";

const EXIT_USAGE = 2;
/** As `env` and `docker run`: the command was not started, and the fault is not its own. */
const EXIT_NOT_STARTED = 125;
const VARIABLE = /^(?<name>[A-Za-z_][A-Za-z0-9_]*)(?:=(?<behind>\/[^\s]*))?$/;

const HELP = `
What it does:
  It redeems the launch token for an agent's identity, with a key that it makes and that never leaves it, listens
  on a free port of 127.0.0.1, and runs COMMAND with
    ${BASE_URL_VARIABLE}=http://127.0.0.1:PORT/<secret of this run>
  What COMMAND sends to \$${BASE_URL_VARIABLE}/PATH goes to the gateway's /PATH, with the agent's token and a fresh proof.
  COMMAND sees neither key nor token. The base URL is its credential for this run: keep it out of logs and arguments.
  When COMMAND ends, the agent is released: its token is refused from then on.

Where the launch token comes from (one of three; it is valid for 30 s, and once):
  --launch-token-fd 3       read from an open file descriptor: nothing is left of it
  --launch-token-file FILE  mode 0600; removed once it is read
  CORDON_LAUNCH_TOKEN       in the environment; taken out of COMMAND's, but the weakest way

Examples:
  cordon agent --issuer https://issuer.example --launch-token-fd 3 -- ./rank.sh 3<launch-token
  cordon agent --launch-token-file /run/agent/token -- sh -c 'curl -s "\$${BASE_URL_VARIABLE}/ats/jobs/J42"'
  cordon agent --launch-token-fd 3 --base-url-in OPENAI_BASE_URL=/v1 -- python agent.py 3<launch-token

A program that can only be given a proxy does not work behind it: nobody can sign inside a CONNECT tunnel.

Exit codes: COMMAND's own; 128 and the signal's number where a signal ended it; 126 not executable; 127 not found;
125 the agent could not start; ${EXIT_AGENT_ENDED} the agent ended before COMMAND (revoked, not renewed, or its time is over); 2 usage.
`;

interface AgentCommandOptions {
  readonly issuer?: string;
  readonly gateway?: string;
  readonly launchTokenFd?: number;
  readonly launchTokenFile?: string;
  readonly scope?: string;
  readonly algorithm?: KeyAlgorithm;
  readonly baseUrlIn: ReadonlyMap<string, string>;
}

export function register(program: Command): void {
  program
    .command("agent")
    .summary("run any program as an agent, behind a sidecar that adds the proofs")
    .description(
      "Runs COMMAND, unmodified, with a loopback base URL behind which every request is proved to the gateway.",
    )
    .argument("<command...>", "the program and its arguments, after --")
    .addOption(new Option("--issuer <url>", "the issuer that the launch token is from").env("CORDON_ISSUER"))
    .addOption(
      new Option("--gateway <url>", "the gateway's public origin (default: the token's audience)").env(
        "CORDON_GATEWAY",
      ),
    )
    .option("--launch-token-fd <n>", "read the launch token from this open file descriptor", parseDescriptor)
    .option("--launch-token-file <file>", "read the launch token from this file, then remove it")
    .option("--scope <scopes>", "ask for less than was launched; separated by spaces")
    .addOption(new Option("--algorithm <name>", "of the agent's key (default: ES256)").choices(["ES256", "EdDSA"]))
    .option(
      "--base-url-in <name[=/path]>",
      "put the base URL, and a path behind it, into a further variable; may be repeated",
      parseVariable,
      new Map<string, string>(),
    )
    .addHelpText("after", HELP)
    .action(async (command: readonly string[], options: AgentCommandOptions) => {
      try {
        process.exitCode = await run(command, options);
      } catch (error) {
        if (!(error instanceof CordonError)) throw error;
        say(error.message);
        process.exitCode = error.code === "usage" ? EXIT_USAGE : EXIT_NOT_STARTED;
      }
    });
}

async function run(command: readonly string[], options: AgentCommandOptions): Promise<number> {
  const environment = { ...process.env };
  const { launchTokenFd: fd, launchTokenFile: file } = options;
  const { launchToken, warning } = await readLaunchToken({
    environment,
    ...(fd === undefined ? {} : { fd }),
    ...(file === undefined ? {} : { file }),
  });
  if (warning !== undefined) say(warning);
  if (options.issuer === undefined) throw new CordonError("usage", "Name the issuer with --issuer or CORDON_ISSUER.");
  const [name, ...rest] = command;
  if (name === undefined || name === "") throw new CordonError("usage", "Name a command after --.");
  return runSidecar({
    issuer: options.issuer,
    launchToken,
    ...(options.gateway === undefined ? {} : { gateway: originOf(options.gateway) }),
    ...(options.scope === undefined ? {} : { scope: options.scope.split(/\s+/).filter((scope) => scope !== "") }),
    ...(options.algorithm === undefined ? {} : { algorithm: options.algorithm }),
    command: [name, ...rest],
    environment,
    baseUrlVariables: options.baseUrlIn,
    say,
  });
}

function say(sentence: string): void {
  process.stderr.write(`cordon agent: ${sentence}\n`);
}

function parseDescriptor(text: string): number {
  const fd = Number(text);
  if (!/^\d{1,6}$/.test(text) || fd === 1 || fd === 2) throw new InvalidArgumentError("write an open one, such as 3.");
  return fd;
}

function parseVariable(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const { name, behind = "" } = VARIABLE.exec(text)?.groups ?? {};
  if (name === undefined) throw new InvalidArgumentError("write NAME or NAME=/path.");
  return new Map([...before, [name, behind]]);
}

function originOf(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search !== "") {
    throw new CordonError("usage", "The gateway is an origin, such as https://gateway.example.");
  }
  return url.origin;
}
