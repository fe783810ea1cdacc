// In: `cordon start --config FILE`. Out: a gateway in the foreground; JSON lines of its own log on standard error.
import type { Command } from "commander";
import { createProcessLog, EXIT_CONFIG, loadOrExplain, runGateway } from "./run-gateway.ts";

export function register(program: Command): void {
  program
    .command("start")
    .description("run the gateway with a configuration file until SIGTERM or Ctrl-C, which drain it")
    .requiredOption("-c, --config <file>", "the configuration, for example cordon.yaml")
    .addHelpText(
      "after",
      "\nThe gateway logs its own events as JSON lines on standard error (as text on a terminal).\n" +
        "Check a configuration first with `cordon config check FILE`; try Cordon without one by `cordon quickstart`.",
    )
    .action(async (options: { config: string }) => {
      const config = loadOrExplain(options.config);
      if (config === null) {
        process.exitCode = EXIT_CONFIG;
        return;
      }
      const log = createProcessLog(config, process.stderr.isTTY);
      process.exitCode = await runGateway({
        config,
        log,
        onRunning: (gateway) =>
          log.info("ready", { traffic: gateway.traffic, issuer: gateway.issuer, control: gateway.control }),
        onStopping: () => log.info("draining"),
      });
      log.info("stopped");
    });
}
