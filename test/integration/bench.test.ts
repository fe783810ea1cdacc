// The bench is held to its form only: arguments, rows, exit code. Its figures depend on the machine and are never asserted.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { parseBenchArguments } from "../../bench/arguments.ts";
import { percentile } from "../../bench/load/constant-rate.ts";
import { failedRow, median, type Report, row, tableOf } from "../../bench/rows.ts";

const BENCH = new URL("../../bench/main.ts", import.meta.url).pathname;

test("--quick --json asks for every part in three short pairs, as JSON", () => {
  const parsed = parseBenchArguments(["--quick", "--json"]);
  assert.ok(parsed.ok);
  const { mode, json, plan, parts } = parsed.value;
  assert.deepEqual({ mode, json, pairs: plan.pairs }, { mode: "quick", json: true, pairs: 3 });
  assert.deepEqual([...parts], ["all-checks", "mtls-bound", "latency", "two-threads", "ablation"]);
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

test("a smoke run prints rows as JSON and ends with 0, also where wrk or nginx are missing", () => {
  const words = ["--smoke", "--json", "--only", "all-checks", "--only", "latency", "--only", "ablation"];
  const run = spawnSync(process.execPath, [BENCH, ...words], { encoding: "utf8", timeout: 90_000 });
  assert.equal(run.status, 0, run.stderr);
  const report = JSON.parse(run.stdout) as Report;
  assert.equal(report.machine["node"], process.version);
  assert.equal(report.machine["arguments"], words.join(" "));
  const names = new Set(report.rows.map(({ name }) => name));
  for (const { name, figure, unit, error } of report.rows) {
    assert.match(name, /^[a-z0-9-]+$/);
    assert.notEqual(unit, "", name);
    assert.ok(figure === null ? error !== undefined : Number.isFinite(figure), name);
  }
  assert.equal(names.size, report.rows.length, "each name stands once");
  for (const name of ["ablation-signature", "ablation-proof", "ablation-policy", "policy-large"]) {
    assert.ok(names.has(name), name);
  }
  const canLoad = !report.notes.some((note) => note.startsWith("no row under load"));
  for (const name of ["all-checks", "strict", "latency-p50", "latency-p99"]) {
    assert.equal(names.has(name), canLoad, name);
  }
});
