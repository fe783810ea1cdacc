// In: the text of a checkpoint, or the counters to keep. Out: the other one. A checkpoint says what the records of the audit
// log come to, up to a place in it. Trusts: nothing. A counter that is forgotten is a budget that is full again, so a
// checkpoint that is not whole is an Error and never an empty one.
import { z } from "zod";
import type { FoldState } from "./fold-records.ts";

/** The end of a record in the audit log. */
export interface LogPlace {
  /** Offset behind its line break, in bytes; 0 before the first record. */
  readonly offset: number;
  readonly seq: number;
  /** SHA-256 of the last bytes before it, hexadecimal, to know the log again by; "" before the first record. */
  readonly tail: string;
}

export interface Checkpoint {
  readonly place: LogPlace;
  readonly state: FoldState;
}

export const LOG_START: LogPlace = Object.freeze({ offset: 0, seq: 0, tail: "" });

const amount = z.int().nonnegative();
const key = z.string().regex(/^[0-9a-f]{32}$/);
const recent = z.array(z.tuple([z.int(), amount])).max(1000);

const headLine = z.strictObject({
  version: z.literal(1),
  place: z.strictObject({ offset: amount, seq: amount, tail: z.string().regex(/^(?:[0-9a-f]{64})?$/) }),
});
const entryLine = z.strictObject({
  name: z.string(),
  key,
  sinceMs: amount,
  untilMs: amount,
  calls: amount,
  bytes: amount,
  sum: amount,
  recent,
});
const openLine = z.tuple([
  z.string(),
  z.strictObject({
    atMs: amount,
    reserved: z.array(z.strictObject({ name: z.string(), key, bytes: amount, sum: amount, untilMs: amount })),
  }),
]);
const endLine = z.strictObject({ lines: amount });

/** One by one, so that whoever writes them can do other things in between: an object an entry, an array an open call. */
export function* checkpointLines({ place, state }: Checkpoint): Generator<string> {
  let lines = 0;
  yield `${JSON.stringify({ version: 1, place })}\n`;
  for (const entry of state.entries) {
    lines += 1;
    yield `${JSON.stringify(entry)}\n`;
  }
  for (const call of state.open) {
    lines += 1;
    yield `${JSON.stringify(call)}\n`;
  }
  yield `${JSON.stringify({ lines })}\n`;
}

export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("the last line is not complete");
  const head = headLine.parse(JSON.parse(lines.shift() ?? ""));
  const end = endLine.parse(JSON.parse(lines.pop() ?? ""));
  if (end.lines !== lines.length) throw new Error("lines are missing");
  const entries: z.output<typeof entryLine>[] = [];
  const open: z.output<typeof openLine>[] = [];
  for (const line of lines) {
    if (line.startsWith("[")) open.push(openLine.parse(JSON.parse(line)));
    else entries.push(entryLine.parse(JSON.parse(line)));
  }
  return { place: head.place, state: { entries, open } };
}
