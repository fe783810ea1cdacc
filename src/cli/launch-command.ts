// In: an application's key and what an agent is to do. Out: a launch token for that agent, in a file or on standard output.
// For orchestrators without a program of their own, and for trying: the agent redeems it within 30 s, once.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { CordonError } from "../agent/cordon-error.ts";
import { createLauncher, type LaunchRequest } from "../agent/create-launcher.ts";
import { readKeyFile } from "../agent/quickstart-keys.ts";
import { isObject, type JsonObject } from "../lib/strict-json.ts";

const QUICKSTART_ISSUER = "http://127.0.0.1:8081";
const QUICKSTART_APPLICATION = "hiring";
const PRIVATE_MODE = 0o600;

const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

interface LaunchOptions {
  readonly issuer: string;
  readonly application: string;
  readonly key?: string;
  readonly orchestration: string;
  readonly task: string;
  readonly purpose: string;
  readonly scope: string;
  readonly principal: { readonly type: string; readonly id: string };
  readonly constraint: JsonObject;
  readonly manifest?: string;
  readonly resource?: string;
  readonly ttl?: number;
  readonly lifetime?: number;
  readonly renewals?: number;
  readonly depth?: number;
  readonly out?: string;
}

const HELP = `
The launch token is good once and for 30 s. Whoever redeems it first is the agent: hand it over by a file or a file
descriptor. Without --out it is all that stands on standard output.

Example, with the quickstart running:
  cordon launch --task rank-j42 --purpose rank-candidates --scope "read:candidates:J42 write:scores:J42" \\
    --constraint job_id=J42 --principal user:recruiter_alice --out launch.txt
  cordon agent --issuer http://127.0.0.1:8081 --launch-token-file launch.txt -- \\
    sh -c 'curl -s "$CORDON_BASE_URL/ats/jobs/J42/candidates/C1"'

Exit codes: 0 launched, 1 refused by the issuer, 2 wrong usage or no issuer.
`;

export function register(program: Command): void {
  program
    .command("launch")
    .summary("get a launch token for an agent, as an orchestrator")
    .description("Asks the issuer for a launch token: the right to start one agent, for one task, within the ceiling.")
    .option("--issuer <url>", "the issuer (env: CORDON_ISSUER)", process.env["CORDON_ISSUER"] ?? quickstartIssuer())
    .option("--application <name>", "as it is registered (cordon app add)", QUICKSTART_APPLICATION)
    .option("--key <file>", "its private JWK (default: quickstart/<application>.jwk in the data folder)")
    .option("--orchestration <name>", "the orchestration that the agent belongs to", "hiring")
    .requiredOption("--task <name>", "the task; the agent's identity carries it")
    .option("--purpose <text>", "what for, as policy reads it", "")
    .requiredOption("--scope <scopes>", "action:resource:identifier, separated by spaces")
    .requiredOption("--principal <type:id>", "on whose authority, within the ceiling", readPrincipal)
    .option("--constraint <name=value>", "a restriction, JSON or text; may be repeated", readConstraint, {})
    .option("--manifest <file>", "the agent's manifest: a signed one (JWS), or JSON, which stays unverified")
    .option("--resource <origin>", "the gateway that the token is for (default: the issuer's first)")
    .option("--ttl <seconds>", "life of each token", readCount)
    .option("--lifetime <seconds>", "life of the agent's authority", readCount)
    .option("--renewals <count>", "how often it may renew", readCount)
    .option("--depth <count>", "how often in a row it may delegate", readCount)
    .option("--out <file>", "write the token there, mode 0600, instead of standard output")
    .addHelpText("after", HELP)
    .action(async (options: LaunchOptions) => {
      try {
        await launch(options);
      } catch (error) {
        if (!(error instanceof CordonError)) throw error;
        process.stderr.write(`cordon launch: ${error.message}\n`);
        if (error.code === "key_invalid" && options.key === undefined) {
          process.stderr.write(
            "The quickstart makes this key at its start: run `npm start`, or name one with --key.\n",
          );
        }
        process.exitCode = error.status === undefined ? EXIT_USAGE : EXIT_REFUSED;
      }
    });
}

async function launch(options: LaunchOptions): Promise<void> {
  const { CORDON_DATA_FOLDER: folder = "data" } = process.env;
  const key = readKeyFile(resolve(options.key ?? join(folder, "quickstart", `${options.application}.jwk`)));
  const issuer = options.issuer.replace(/\/$/, "");
  const { launchToken } = await createLauncher({ issuer, application: options.application, key }).launch(
    requestOf(options),
  );
  if (options.out === undefined) {
    process.stdout.write(`${launchToken}\n`);
    return;
  }
  try {
    writeFileSync(options.out, `${launchToken}\n`, { mode: PRIVATE_MODE, flag: "wx" });
  } catch (cause) {
    const there = (cause as NodeJS.ErrnoException).code === "EEXIST";
    const why = there ? "is there already; remove it, or name another file" : "cannot be written";
    throw new CordonError("usage", `${options.out} ${why}. The launch token is not shown and ends by itself.`, {
      cause,
    });
  }
}

function requestOf(options: LaunchOptions): LaunchRequest {
  const { orchestration, task, purpose, principal, constraint, manifest, resource } = options;
  const { ttl, lifetime, renewals, depth } = options;
  return {
    orchestration,
    task,
    purpose,
    scope: options.scope.split(/\s+/).filter((scope) => scope !== ""),
    principal,
    constraints: constraint,
    ...(manifest === undefined ? {} : { manifest: readManifest(manifest) }),
    ...(resource === undefined ? {} : { resource }),
    ...(ttl === undefined ? {} : { tokenTtlS: ttl }),
    ...(lifetime === undefined ? {} : { lifetimeS: lifetime }),
    ...(renewals === undefined ? {} : { renewalsMax: renewals }),
    ...(depth === undefined ? {} : { depthMax: depth }),
  };
}

function readManifest(file: string): string | JsonObject {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new CordonError("usage", `${file} cannot be read.`, { cause });
  }
  if (!text.startsWith("{")) return text;
  const parsed = jsonOf(text);
  if (!isObject(parsed)) throw new CordonError("usage", `${file} is not a manifest: a JWS, or a JSON object.`);
  return parsed;
}

function readPrincipal(text: string): { type: string; id: string } {
  const colon = text.indexOf(":");
  if (colon < 1 || colon === text.length - 1) throw new InvalidArgumentError("write type:id, such as user:alice.");
  return { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

function readConstraint(text: string, before: JsonObject): JsonObject {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("write name=value, such as job_id=J42.");
  const value = text.slice(equals + 1);
  return { ...before, [text.slice(0, equals)]: jsonOf(value) ?? value };
}

function readCount(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,8})$/.test(text)) throw new InvalidArgumentError("write a whole number.");
  return Number(text);
}

/** Undefined for what is no JSON: then it is a text. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function quickstartIssuer(): string {
  const { CORDON_ISSUER_PORT: port } = process.env;
  return port === undefined ? QUICKSTART_ISSUER : `http://127.0.0.1:${port}`;
}
