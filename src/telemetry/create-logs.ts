// In: entries of a data thread. Out: lines of the access log and the decision log.
// Trusts: the configuration for where the logs are and which fields are safe.
import { hostname } from "node:os";
import { accessLine } from "./access-line.ts";
import { decisionLine } from "./decision-line.ts";
import type { Logs, LogsOptions } from "./log-entries.ts";
import { createLineSink } from "./log-file.ts";
import { createInputMask } from "./mask-input.ts";

/** Opens both logs for one data thread. Throws when a folder cannot be made. */
export function createLogs(options: LogsOptions): Logs {
  const accessSink = createLineSink(options.access, options.relay, options.onFault);
  const decisionSink = createLineSink(options.decision, options.relay, options.onFault);
  const accessOn = options.access !== "off";
  const decisionOn = options.decision !== "off";
  const inputMask = createInputMask(options.safeFields);
  const labelsJson = JSON.stringify({ gateway: options.gateway, host: hostname() });
  return {
    access(entry) {
      if (accessOn) accessSink.write(accessLine(entry));
    },
    decision(entry) {
      if (decisionOn) decisionSink.write(decisionLine(entry, labelsJson, inputMask));
    },
    async flush() {
      await Promise.all([accessSink.flush(), decisionSink.flush()]);
    },
    async close() {
      await Promise.all([accessSink.close(), decisionSink.close()]);
    },
  };
}
