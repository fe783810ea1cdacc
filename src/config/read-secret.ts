// In: where a secret comes from. Out: the secret, or why it cannot be had; the reason never quotes it.
import { readFileSync } from "node:fs";
import { err, ok, type Result } from "../lib/result.ts";

export type SecretSource = { readonly file: string } | { readonly env: string };

/** A secret goes out in a header: RFC 9110 section 5.5. */
const NOT_IN_A_HEADER = /[^\t\x20-\x7e\x80-\xff]/;
const UNFIT = "holds a line break or a character that no header carries";

/** A trailing newline of a file is removed, since editors add one. A secret that is empty or fits no header is refused. */
export function readSecret(source: SecretSource, env: NodeJS.ProcessEnv): Result<string, string> {
  if ("env" in source) {
    const value = env[source.env];
    if (value === undefined || value === "") return err(`the variable ${source.env} is not set`);
    return NOT_IN_A_HEADER.test(value) ? err(`the variable ${source.env} ${UNFIT}`) : ok(value);
  }
  let text: string;
  try {
    text = readFileSync(source.file, "utf8");
  } catch (error) {
    return err(`the file ${source.file} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
  const secret = text.replace(/\r?\n$/, "");
  if (secret === "") return err(`the file ${source.file} is empty`);
  return NOT_IN_A_HEADER.test(secret) ? err(`the file ${source.file} ${UNFIT}`) : ok(secret);
}
