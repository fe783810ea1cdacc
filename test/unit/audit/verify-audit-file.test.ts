import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { numberLines } from "../../../src/audit/append-log.ts";
import { checkAuditText } from "../../../src/audit/verify-audit-file.ts";

const AT = "2026-01-01T00:00:00.000Z";
const events = (count: number) =>
  Array.from({ length: count }, (_, i) => JSON.stringify({ type: "intent", request_id: `r${i}` })).join("\n");

test("a whole file is whole in whatever chunks it arrives", async () => {
  const text = numberLines(events(10), 1, AT);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(text.length)), async (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      const chunks = at.slice(1).map((end, i) => text.slice(at[i], end));
      const check = await checkAuditText(chunks);
      assert.deepEqual([check.ok, check.records, check.firstSeq, check.lastSeq], [true, 10, 1, 10]);
    }),
  );
});

test("a record that is missing, moved, damaged or torn is found, with its line", async () => {
  const lines = numberLines(events(5), 1, AT).trimEnd().split("\n");
  const [a = "", b = "", c = "", d = "", e = ""] = lines;
  const cases: [string[], number][] = [
    [[a, c, d, e], 2],
    [[b, c, d, e], 1],
    [[a, c, b, d, e], 2],
    [[a, b.slice(0, -5), c, d, e], 2],
    [[a, "", b, c, d, e], 2],
  ];
  for (const [damaged, line] of cases) {
    const check = await checkAuditText([`${damaged.join("\n")}\n`]);
    assert.equal(check.ok, false);
    assert.equal(check.problems[0]?.line, line);
  }
  const torn = await checkAuditText([lines.join("\n")]);
  assert.deepEqual(torn.problems, [{ line: 5, problem: "the last line is not complete" }]);
});

test("an intent without an outcome is listed as such and is not a problem", async () => {
  const text = numberLines(`${events(2)}\n{"type":"outcome","request_id":"r0"}`, 1, AT);
  const check = await checkAuditText([text]);
  assert.deepEqual([check.ok, check.intentsWithoutOutcome], [true, ["r1"]]);
});
