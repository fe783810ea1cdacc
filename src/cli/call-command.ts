// In: a URL and optional credentials. Out: the answer of one call through the gateway, made as an agent would make it.
// Every call is a new agent instance: a fresh key, a token bound to it, and a proof for this one request.
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { CordonError } from "../agent/cordon-error.ts";
import { createDpopFetch } from "../agent/create-dpop-fetch.ts";
import { createKey } from "../agent/create-key.ts";
import { fetchToken } from "../agent/fetch-token.ts";
import { readKeyFile } from "../agent/quickstart-keys.ts";

const QUICKSTART_CLIENT = "hiring-agent";
const QUICKSTART_ISSUER_PORT = "8081";
const TIMEOUT_MS = 60_000;

const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

interface CallOptions {
  readonly method?: string;
  readonly data?: string;
  readonly client: string;
  readonly key?: string;
  readonly issuer?: string;
  readonly scope?: string;
  readonly showHeaders?: boolean;
}

/** `cordon call URL`: exit code 0 for an answer below 400, 1 for a refusal, 2 for a call that could not be made. */
export function register(program: Command): void {
  program
    .command("call")
    .summary("call a tool through the gateway as an agent")
    .description(
      "Gets a token bound to a fresh key and calls URL with a proof of possession. Without options it is the quickstart's agent.",
    )
    .argument("<url>", "URL under one of the gateway's public origins")
    .option("-X, --method <method>", "HTTP method (default: GET, or POST with -d)")
    .option("-d, --data <json>", "JSON body")
    .option("--client <id>", "client id registered at the issuer", QUICKSTART_CLIENT)
    .option("--key <file>", "the client's private JWK (default: quickstart/<client>.jwk in the data folder)")
    .option("--issuer <url>", "the issuer (default: the quickstart's)")
    .option("--scope <scopes>", "scopes to ask for, separated by spaces (default: all that are registered)")
    .option("--show-headers", "print the answer's headers too")
    .action(async (url: string, options: CallOptions) => {
      try {
        process.exitCode = await call(url, options);
      } catch (error) {
        if (!(error instanceof CordonError)) throw error;
        console.error(`cordon call: ${error.message}`);
        if (error.code === "key_invalid" && options.key === undefined) {
          console.error(
            "The quickstart makes this key at its first start: run `npm start`, or name a key with --key FILE.",
          );
        }
        process.exitCode = EXIT_USAGE;
      }
    });
}

async function call(target: string, options: CallOptions): Promise<number> {
  const url = parseTarget(target);
  if (options.data !== undefined) checkJson(options.data);
  const method = (options.method ?? (options.data === undefined ? "GET" : "POST")).toUpperCase();

  const { CORDON_DATA_FOLDER: folder = "data", CORDON_ISSUER_PORT: port = QUICKSTART_ISSUER_PORT } = process.env;
  const clientKey = readKeyFile(resolve(options.key ?? join(folder, "quickstart", `${options.client}.jwk`)));
  const key = createKey();
  const { accessToken } = await fetchToken({
    issuer: (options.issuer ?? `http://127.0.0.1:${port}`).replace(/\/$/, ""),
    clientId: options.client,
    clientKey,
    key,
    resource: url.origin,
    ...(options.scope === undefined ? {} : { scope: options.scope.split(/\s+/).filter((scope) => scope !== "") }),
  });

  const send = createDpopFetch({ getToken: () => accessToken, key, origins: [url.origin] });
  const response = await sendOnce(() =>
    send(url, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(options.data === undefined ? {} : { body: options.data, headers: { "content-type": "application/json" } }),
    }),
  );
  console.log(`${response.status} ${response.statusText}`.trimEnd());
  if (options.showHeaders === true) {
    for (const [name, value] of response.headers) console.log(`${name}: ${value}`);
    console.log("");
  }
  const text = await response.text();
  if (text !== "") console.log(readable(text));
  return response.status < 400 ? 0 : EXIT_REFUSED;

  async function sendOnce(attempt: () => Promise<Response>): Promise<Response> {
    try {
      return await attempt();
    } catch (cause) {
      if (cause instanceof CordonError) throw cause;
      throw new CordonError("gateway_unreachable", `The gateway ${url.origin} cannot be reached; is it running?`, {
        cause,
      });
    }
  }
}

function parseTarget(target: string): URL {
  const url = URL.parse(target);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new CordonError(
      "usage",
      `"${target}" is not a URL; write for example http://127.0.0.1:8080/ats/jobs/J42/candidates.`,
    );
  }
  return url;
}

function checkJson(text: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw new CordonError(
      "usage",
      "The body given with -d is not JSON; quote it for the shell, as in -d '{\"score\": 8}'.",
    );
  }
}

function readable(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it came, but a terminal must not obey it.
    return text.replaceAll(/(?![\n\t])\p{Cc}/gu, "\uFFFD");
  }
}
