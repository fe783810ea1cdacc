// In: the lines of an audit file. Out: whether the sequence is whole, where it is not, and which intents have no outcome.
// Trusts: nothing. It checks order and completeness; it cannot tell an edited record from an original one.
import { lineSeq } from "./read-tail.ts";

export interface AuditProblem {
  /** Number of the line, from 1. */
  readonly line: number;
  readonly problem: string;
}

export interface AuditCheck {
  readonly ok: boolean;
  readonly records: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly problems: readonly AuditProblem[];
  /** `request_id` of each intent whose outcome is not in the file: in flight, or cut off by a crash. */
  readonly intentsWithoutOutcome: readonly string[];
}

/** Enough to see what is wrong; a file of noise must not fill the memory. */
const PROBLEMS_MAX = 100;

/** Checks the text of an audit file, given in chunks of any size. */
export async function checkAuditText(chunks: AsyncIterable<string> | Iterable<string>): Promise<AuditCheck> {
  const problems: AuditProblem[] = [];
  const open = new Set<string>();
  let line = 0;
  let records = 0;
  let firstSeq = 0;
  let lastSeq = 0;
  let rest = "";

  function problem(text: string): void {
    if (problems.length < PROBLEMS_MAX) problems.push({ line, problem: text });
  }

  function check(text: string): void {
    line += 1;
    const seq = lineSeq(text);
    if (seq === undefined) {
      problem("not a whole record");
      return;
    }
    const expected = records === 0 ? 1 : lastSeq + 1;
    if (seq !== expected) problem(`record ${seq} where ${expected} was expected`);
    if (records === 0) firstSeq = seq;
    records += 1;
    lastSeq = seq;
    const { type, request_id: id } = JSON.parse(text) as Record<string, unknown>;
    if (typeof id !== "string") return;
    if (type === "intent") open.add(id);
    if (type === "outcome") open.delete(id);
  }

  for await (const chunk of chunks) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) check(text);
  }
  if (rest !== "") {
    line += 1;
    problem("the last line is not complete");
  }
  return { ok: problems.length === 0, records, firstSeq, lastSeq, problems, intentsWithoutOutcome: [...open] };
}
