// In: where a secret comes from. Out: the secret, or why it cannot be had; the reason never quotes it.
import { readFileSync } from "node:fs";
import { err, ok, type Result } from "../lib/result.ts";

export type SecretSource = { readonly file: string } | { readonly env: string };

/** A trailing newline of a file is removed, since editors add one. An empty secret is refused. */
export function readSecret(source: SecretSource, env: NodeJS.ProcessEnv): Result<string, string> {
  if ("env" in source) {
    const value = env[source.env];
    return value === undefined || value === "" ? err(`the variable ${source.env} is not set`) : ok(value);
  }
  let text: string;
  try {
    text = readFileSync(source.file, "utf8");
  } catch (error) {
    return err(`the file ${source.file} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
  const secret = text.replace(/\r?\n$/, "");
  return secret === "" ? err(`the file ${source.file} is empty`) : ok(secret);
}
