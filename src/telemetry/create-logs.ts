// In: entries of a data thread. Out: lines of the access log and the decision log.
// Trusts: the configuration for where the logs are and which fields are safe.
import { hostname } from "node:os";
import { accessLine } from "./access-line.ts";
import { decisionLine } from "./decision-line.ts";
import type { DecisionEntry, Logs, LogsOptions } from "./log-entries.ts";
import { createEntrySink } from "./log-file.ts";
import { createInputMask } from "./mask-input.ts";

/** Opens both logs for one data thread. Throws when a folder cannot be made. */
export function createLogs(options: LogsOptions): Logs {
  const inputMask = createInputMask(options.safeFields);
  const labelsJson = JSON.stringify({ gateway: options.gateway, host: hostname() });
  const accessSink = createEntrySink(options.access, accessLine, options.relay, options.onFault);
  const decisionSink = createEntrySink(
    options.decision,
    (entry: DecisionEntry) => decisionLine(entry, labelsJson, inputMask),
    options.relay,
    options.onFault,
  );
  return {
    access: (entry) => accessSink.write(entry),
    decision: (entry) => decisionSink.write(entry),
    async flush() {
      await Promise.all([accessSink.flush(), decisionSink.flush()]);
    },
    async close() {
      await Promise.all([accessSink.close(), decisionSink.close()]);
    },
  };
}
