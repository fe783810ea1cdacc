// In: where the operators' API is and an operator's key. Out: its answers, or a sentence that says what is wrong.
// Trusts: the address the operator named. The key goes to it and nowhere else; redirects are not followed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { err, ok, type Result } from "../lib/result.ts";

export interface ControlOptions {
  readonly url?: string;
  readonly keyFile?: string;
}

export interface ControlClient {
  /** `body` is JSON text. Errors are whole sentences, some with a second line that says how to mend it. */
  call(method: "GET" | "PUT" | "POST" | "DELETE", path: string, body?: string): Promise<Result<unknown, string>>;
}

const PORT_DEFAULT = "9080";
/** A change waits for every thread and the disk, never this long. */
const TIMEOUT_MS = 30_000;

export function createControlClient(options: ControlOptions, env: NodeJS.ProcessEnv): Result<ControlClient, string> {
  const base =
    options.url ?? env["CORDON_CONTROL_URL"] ?? `http://127.0.0.1:${env["CORDON_CONTROL_PORT"] ?? PORT_DEFAULT}`;
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
    return err(`${base} is not an http(s) address.\nGive the operators' address: --url http://127.0.0.1:9080`);
  }
  const key = readKey(options, env);
  if (!key.ok) return key;
  return ok({
    async call(method, path, body) {
      let response: Response;
      let text: string;
      try {
        response = await fetch(new URL(path, base), {
          method,
          headers: {
            authorization: `Bearer ${key.value}`,
            ...(method === "GET" ? {} : { "content-type": "application/json" }),
          },
          ...(method === "GET" ? {} : { body: body ?? "{}" }),
          redirect: "error",
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        text = await response.text();
      } catch (error) {
        return err(
          `No gateway answers at ${base} (${causeOf(error)}).\nStart it, or name the operators' address with --url.`,
        );
      }
      return readAnswer(response, text, base);
    },
  });
}

function readKey(options: ControlOptions, env: NodeJS.ProcessEnv): Result<string, string> {
  const given = env["CORDON_OPERATOR_KEY"];
  if (options.keyFile === undefined && given !== undefined && given !== "")
    return checkKey(given, "CORDON_OPERATOR_KEY");
  const dataFolder = env["CORDON_DATA_FOLDER"] ?? "data";
  const file = options.keyFile ?? env["CORDON_OPERATOR_KEY_FILE"] ?? join(dataFolder, "operator.key");
  try {
    return checkKey(readFileSync(file, "utf8"), file);
  } catch (error) {
    return err(
      `The operator's key ${file} cannot be read (${causeOf(error)}).\n` +
        "The gateway writes operator.key into its data folder at first start; name it with --key-file.",
    );
  }
}

function checkKey(text: string, source: string): Result<string, string> {
  const key = text.trim();
  return /^[\x21-\x7e]+$/.test(key) ? ok(key) : err(`${source} does not hold an operator's key.`);
}

function readAnswer(response: Response, text: string, base: string): Result<unknown, string> {
  const answer = parse(text);
  if (answer === undefined)
    return err(`${base} is not the operators' API of a Cordon gateway (status ${response.status}).`);
  if (response.ok) return ok(answer);
  const { code, detail, id } = answer;
  const known = typeof detail === "string" ? detail : `The gateway answered ${response.status}.`;
  if (response.status === 401)
    return err(`The gateway does not accept this operator's key.\nName the right one with --key-file.`);
  if (code === "role_refused") return err(`${known}\nUse the key of an operator whose role does.`);
  return err(typeof id === "string" ? `${known} Id: ${id}` : known);
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if (error.name === "TimeoutError") return "no answer in 30 seconds";
  const cause: unknown = error.cause ?? error;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  return error.message;
}
