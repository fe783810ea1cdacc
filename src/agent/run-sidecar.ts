// In: a launch token and a command. Out: the command's exit code, after the agent that stood for it was released.
// The program gets a base URL and an environment without launch token; key and tokens stay in this process.
import { CordonError } from "./cordon-error.ts";
import { startAgent } from "./create-agent.ts";
import type { KeyAlgorithm } from "./create-key.ts";
import { createSidecar } from "./create-sidecar.ts";
import { runProgram } from "./run-program.ts";

export const BASE_URL_VARIABLE = "CORDON_BASE_URL";
/** The agent ended before its program did: what `timeout` says of a program whose time is over. */
export const EXIT_AGENT_ENDED = 124;
/** A program that has ended does not wait longer for an issuer that is away; what is left of the token ends by itself. */
const RELEASE_MS_MAX = 5000;

export interface SidecarRun {
  readonly issuer: string;
  readonly launchToken: string;
  /** The gateway's public origin; that of the token's audience where absent. */
  readonly gateway?: string;
  readonly scope?: readonly string[];
  readonly algorithm?: KeyAlgorithm;
  readonly command: readonly [string, ...string[]];
  /** Of the program; the base URL is added to it. */
  readonly environment: NodeJS.ProcessEnv;
  /** Further variables that get the base URL: name, and what is put behind it. */
  readonly baseUrlVariables: ReadonlyMap<string, string>;
  /** One sentence to the operator; never a secret. */
  readonly say: (sentence: string) => void;
}

/** Throws CordonError where the agent cannot start; then the program was not started. */
export async function runSidecar(run: SidecarRun): Promise<number> {
  const { issuer, launchToken, gateway, scope, algorithm, command, environment, say } = run;
  let stop: () => void = () => undefined;
  let ended: CordonError | undefined;
  const started = await startAgent({
    issuer,
    launchToken,
    ...(gateway === undefined ? {} : { resource: gateway }),
    ...(scope === undefined ? {} : { scope }),
    ...(algorithm === undefined ? {} : { algorithm }),
    onLastToken: (error) => say(`this token is the agent's last one: ${error.message}`),
    onEnd: (error) => {
      ended = error;
      say(`the agent has ended, and its program is stopped: ${error.message}`);
      stop();
    },
  });
  const { agent } = started;
  try {
    const origin = gateway ?? agent.origins[0];
    if (origin === undefined)
      throw new CordonError("usage", "The token does not say which gateway it is for: name it.");
    const sidecar = await createSidecar(started, origin);
    const names = new Map([[BASE_URL_VARIABLE, ""], ...run.baseUrlVariables]);
    const urls = Object.fromEntries([...names].map(([name, behind]) => [name, `${sidecar.baseUrl}${behind}`]));
    try {
      const program = runProgram(command, { ...environment, ...urls });
      stop = program.stop;
      if (ended !== undefined) stop();
      const code = await program.exited;
      return ended === undefined ? code : EXIT_AGENT_ENDED;
    } finally {
      await sidecar.close();
    }
  } finally {
    await release(agent.close(), say);
  }
}

async function release(closing: Promise<void>, say: (sentence: string) => void): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer")), RELEASE_MS_MAX);
  try {
    await Promise.race([closing, late.promise]);
  } catch {
    say("the issuer could not be told that the agent ended; its token ends by itself within minutes");
  } finally {
    clearTimeout(timer);
  }
}
