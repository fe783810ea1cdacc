// In: events of the process itself (start, stop, alerts, containment and policy changes). Out: JSON lines by pino,
// or calm text for a terminal. Trusts: nothing; each line is escaped and redacted as a whole.
import pino from "pino";
import { safeJsonText } from "../lib/safe-json-text.ts";

export type ServiceLogLevel = "debug" | "info" | "warn" | "error";

export type ServiceLogFields = Readonly<Record<string, unknown>>;

export interface ServiceLog {
  debug(message: string, fields?: ServiceLogFields): void;
  info(message: string, fields?: ServiceLogFields): void;
  warn(message: string, fields?: ServiceLogFields): void;
  error(message: string, fields?: ServiceLogFields): void;
}

export interface ServiceLogOptions {
  readonly level: ServiceLogLevel;
  /** Takes one finished line with its line break, for example `(line) => process.stderr.write(line)`. */
  readonly write: (line: string) => void;
  /** `text` for a person at a terminal; default `json`. */
  readonly format?: "json" | "text";
}

/** Members of a field that holds an Error: what helps to find a fault, never its arbitrary members. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return { type: error.name, message: error.message, stack: error.stack };
}

export function createServiceLog(options: ServiceLogOptions): ServiceLog {
  const write = (line: string) => options.write(options.format === "text" ? textLine(line) : safeJsonText(line));
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "message",
      serializers: { error: plainError, err: plainError },
    },
    { write },
  );
  const at = (level: ServiceLogLevel) => (message: string, fields?: ServiceLogFields) => {
    logger[level]({ ...fields }, message);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** `warn: message  name=value`; the escapes of JSON stay, so that no field can act on the terminal. */
function textLine(line: string): string {
  const { level, time: _time, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const shown = Object.entries(fields).map(([name, value]) => `  ${name}=${safeJsonText(JSON.stringify(value))}`);
  const text = safeJsonText(JSON.stringify(message ?? "")).slice(1, -1);
  const prefix = level === "info" || level === "debug" ? "" : `${String(level)}: `;
  return `${prefix}${text}${shown.join("")}\n`;
}
