// In: an operator's command line for the embedded issuer. Out: one call of the operators' API, as text or `--json`.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, the key or the address is wrong.
import type { Command } from "commander";
import { keysText, nextKeyText } from "./issuer-text.ts";
import { control, type ControlOptions, groupOf, run } from "./run-control.ts";

export function register(program: Command): void {
  const keys = groupOf(program, "keys", "the issuer's signing keys");
  control(keys.command("list").description("which key signs, which comes next, which are still good")).action(
    (options: ControlOptions) => run(options, { method: "GET", path: "/v1/keys" }, keysText),
  );
  control(
    keys.command("rotate").description("publish a new key; it signs after the overlap, and no request is refused"),
  ).action((options: ControlOptions) => run(options, { method: "POST", path: "/v1/keys/rotate" }, nextKeyText));
}
