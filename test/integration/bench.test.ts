// The bench is held to its form only: arguments, rows, exit code. Its figures depend on the machine and are never asserted.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { NAMED_ROWS, parseBenchArguments, type Part, PARTS } from "../../bench/arguments.ts";
import { createReport, NOT_MEASURED } from "../../bench/create-report.ts";
import { percentile } from "../../bench/load/rate-stream.ts";
import { failedRow, median, type Report, row, tableOf } from "../../bench/rows.ts";

const BENCH = new URL("../../bench/main.ts", import.meta.url).pathname;

test("--quick --json asks for every part in three short pairs, as JSON", () => {
  const parsed = parseBenchArguments(["--quick", "--json"]);
  assert.ok(parsed.ok);
  const { mode, json, plan, parts } = parsed.value;
  assert.deepEqual({ mode, json, pairs: plan.pairs }, { mode: "quick", json: true, pairs: 3 });
  assert.deepEqual([...parts], [...PARTS]);
});

test("a full run makes at least five pairs", () => {
  const parsed = parseBenchArguments([]);
  assert.ok(parsed.ok && parsed.value.plan.pairs >= 5);
});

test("an argument that is not known, or makes no sense, is refused", () => {
  for (const words of [["--fast"], ["--only", "latencies"], ["--quick", "--smoke"], ["--load-core", "one"], ["more"]]) {
    assert.equal(parseBenchArguments(words).ok, false, words.join(" "));
  }
});

test("a median is of the sorted values, and a row without a figure says why", () => {
  assert.equal(median([10, 9, 1]), 9);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([1, 2, 3, 4], 0.5), 3);
  assert.equal(row("nothing", median([]), "us").figure, null);
  assert.deepEqual(row("all-checks", 0.30461, "ratio"), { name: "all-checks", figure: 0.305, unit: "ratio" });
  const report = { rows: [failedRow("strict", "ratio", "3 not a success")], machine: { cores: 2 }, notes: [] };
  assert.match(tableOf(report), /strict +- +ratio {2}\(3 not a success\)/);
});

/** Those of the issue that set the bars, by the part that measures them. */
const ROWS: Readonly<Record<Part, readonly string[]>> = {
  "all-checks": ["all-checks", "strict"],
  "mtls-bound": ["mtls-bound"],
  latency: ["latency-p50", "latency-p99"],
  "many-agents": ["many-agents-warm", "many-agents-cold"],
  "deny-flood": ["deny-flood"],
  "two-threads": ["two-threads"],
  ablation: ["policy-large"],
  chain: ["chain-5-first", "chain-5-warm"],
  spawn: ["spawn-p99", "spawn-rate", "spawn-100k"],
  mcp: ["mcp-call-1k", "mcp-call-64k", "mcp-list-500", "sse-delay-p99", "streams-1000"],
};

/** Four runs, so that each ends in time on a slow machine; together they are every part. */
const SMOKE_RUNS: readonly (readonly Part[])[] = [
  ["all-checks", "latency", "deny-flood", "ablation"],
  ["mtls-bound", "many-agents", "two-threads"],
  ["chain", "spawn"],
  ["mcp"],
];

test("the smoke runs make every part", () => {
  assert.deepEqual(SMOKE_RUNS.flat().toSorted(), [...PARTS].toSorted());
});

for (const parts of SMOKE_RUNS) {
  test(`a smoke run of ${parts.join(", ")} prints every row as JSON and ends with 0, also where wrk or nginx are missing`, () => {
    const words = ["--smoke", "--json", ...parts.flatMap((part) => ["--only", part])];
    const run = spawnSync(process.execPath, [BENCH, ...words], { encoding: "utf8", timeout: 110_000 });
    assert.equal(run.status, 0, run.stderr);
    const report = JSON.parse(run.stdout) as Report;
    assert.equal(report.machine["node"], process.version);
    assert.equal(report.machine["arguments"], words.join(" "));
    const rows = new Map(report.rows.map((one) => [one.name, one]));
    for (const { name, figure, unit, error } of report.rows) {
      assert.match(name, /^[a-z0-9-]+$/);
      assert.notEqual(unit, "", name);
      assert.ok(figure === null ? error !== undefined : Number.isFinite(figure), name);
    }
    assert.equal(rows.size, report.rows.length, "each name stands once");
    if (parts.includes("ablation")) {
      for (const name of ["ablation-signature", "ablation-proof", "ablation-policy", "policy-large"]) {
        assert.equal(typeof rows.get(name)?.figure, "number", name);
      }
    }
    if (parts.includes("spawn")) {
      // These need neither wrk nor nginx.
      for (const name of [...ROWS.chain, ...ROWS.spawn]) assert.equal(typeof rows.get(name)?.figure, "number", name);
    }
    for (const name of parts.flatMap((part) => ROWS[part])) {
      assert.ok(rows.has(name), name);
      assert.notEqual(rows.get(name)?.error, NOT_MEASURED, name);
    }
    // A round may fail on a machine that is too busy; then its row says so. A part that throws is broken.
    assert.deepEqual(
      report.notes.filter((note) => note.includes("could not be measured")),
      [],
    );
    const canLoad = !report.notes.some((note) => note.startsWith("no row under load"));
    if (canLoad && parts.includes("many-agents")) {
      assert.ok(report.notes.some((note) => /limits\.token_cache_entries .* MiB before/.test(note)));
    }
  });
}

test("a row that a bar speaks of stands in the report also where nothing was measured, with the reason", async () => {
  for (const part of PARTS) assert.deepEqual(Object.keys(NAMED_ROWS[part]), ROWS[part]);
  const report = createReport(new Set<Part>(["many-agents", "deny-flood"]), ["no row under load could be run"]);
  await report.attempt(["many-agents"], () => Promise.reject(new Error("no gateway")));
  const { rows, notes } = report.finish([]);
  assert.deepEqual(rows, [
    failedRow("many-agents-warm", "ratio", "no gateway"),
    failedRow("many-agents-cold", "ratio", "no gateway"),
    failedRow("deny-flood", "ratio", "no row under load could be run"),
  ]);
  assert.deepEqual(notes, ["no row under load could be run", "many-agents could not be measured: no gateway"]);
});
