// In: a configuration file. Out: `OK` and what it declares, or every problem as three calm lines and exit code 2.
import type { Command } from "commander";
import { configJsonSchema } from "../config/config-json-schema.ts";
import { type ConfigProblem, loadConfig } from "../config/load-config.ts";
import type { Config } from "../config/schema.ts";

const EXIT_CONFIGURATION = 2;

export function register(program: Command): void {
  const config = program.command("config").description("check a configuration, or print its JSON Schema");
  config
    .command("check")
    .argument("<file>", "the configuration, such as cordon.yaml")
    .description("tell every problem of a configuration at once, with its path and how to mend it")
    .action((file: string) => {
      const loaded = loadConfig(file, process.env);
      if (loaded.ok) {
        process.stdout.write(`${summarise(loaded.value.config)}\n`);
        return;
      }
      process.stderr.write(formatProblems(file, loaded.error));
      process.exitCode = EXIT_CONFIGURATION;
    });
  config
    .command("schema")
    .description("print the JSON Schema, for editors")
    .action(() => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    });
}

/** Three lines a problem: where, what, and how to mend it. */
export function formatProblems(file: string, problems: readonly ConfigProblem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const blocks = problems.map((entry) => `${entry.path}\n  ${entry.problem}\n  ${entry.mend}\n`);
  // A key is the writer's own text; escape sequences in it must not reach the terminal (H24).
  return `${file}: ${count}\n\n${blocks.join("\n")}`.replace(/[^\P{C}\n]/gu, "\uFFFD");
}

function summarise(config: Config): string {
  const count = (size: number, word: string) => `${size} ${word}${size === 1 ? "" : "s"}`;
  const parts = [
    count(config.listeners.length, "listener"),
    count(config.routes.length, "route"),
    count(config.issuers.length, "issuer"),
  ];
  return `OK: ${parts.join(", ")}`;
}
