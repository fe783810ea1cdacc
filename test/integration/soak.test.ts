// The soak is held to its form: load of every kind arrives, nothing is answered that should not be, and its verdict is right
// about made-up samples. Whether memory is flat is for a run of ten minutes to say, not for this one of a few seconds.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { judgeSamples, minutesOf, type Sample } from "../../bench/soak/judge-samples.ts";

const SOAK = new URL("../../bench/soak/main.ts", import.meta.url).pathname;

/** Ten minutes of samples. */
function samplesOf(changes: (atS: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 600 }, (_, atS) => ({
    atS,
    // Up and down as the collector does.
    rssMiB: 400 + (atS % 7),
    fds: 120 + (atS % 5),
    threads: 13,
    requestsPerS: 3000,
    slowestMs: 20,
    heapMiB: atS % 5 === 0 ? 35 : Number.NaN,
    externalMiB: 8,
    lagMs: 10,
    ...changes(atS),
  }));
}

test("memory that settles after the warm-up is flat", () => {
  const verdict = judgeSamples(
    samplesOf((atS) => ({ rssMiB: 250 + Math.min(atS, 150) })),
    [],
  );
  assert.deepEqual({ flat: verdict.flat, problems: verdict.problems }, { flat: true, problems: [] });
  assert.ok(Math.abs(verdict.slopeMiBPerMinute) < 0.1);
});

test("memory that goes up and down with the collector is flat, whatever its median", () => {
  const verdict = judgeSamples(
    samplesOf((atS) => ({ rssMiB: 580 + (atS < 400 ? atS % 40 : 140 - (atS % 141)) })),
    [],
  );
  assert.deepEqual(verdict.problems, []);
});

test("memory whose floor stays, but that lies far above it in the end, is not flat", () => {
  const verdict = judgeSamples(
    samplesOf((atS) => ({ rssMiB: atS > 400 && atS % 5 !== 0 ? 700 : 580 })),
    [],
  );
  assert.deepEqual(verdict.problems, [
    "memory grows above its floor: median 580 MiB in the middle third, 700 in the last",
  ]);
});

test("memory that grows by eight MiB a minute is not flat, and the slope says so", () => {
  const verdict = judgeSamples(
    samplesOf((atS) => ({ rssMiB: 400 + (atS * 8) / 60 })),
    [],
  );
  assert.equal(verdict.flat, false);
  assert.match(verdict.problems.join(), /^memory grows: 429 MiB in the middle third, 456 in the last$/);
  assert.equal(Math.round(verdict.slopeMiBPerMinute * 10) / 10, 8);
});

test("open files or threads that grow, or an answer that should not be, are no flat run", () => {
  const files = judgeSamples(
    samplesOf((atS) => ({ fds: 120 + Math.floor(atS / 10) })),
    [],
  );
  assert.match(files.problems.join(), /^open files grow: 149.5 in the middle third, 169.5 in the last$/);
  const threads = judgeSamples(
    samplesOf((atS) => ({ threads: 13 + Math.floor(atS / 100) })),
    [],
  );
  assert.match(threads.problems.join(), /^threads grow/);
  const finding = judgeSamples(
    samplesOf(() => ({})),
    ["unexpected: read 503, 1 times"],
  );
  assert.deepEqual([finding.flat, finding.problems], [false, ["unexpected: read 503, 1 times"]]);
});

test("a minute is the median of its seconds and the slowest answer of all", () => {
  const minutes = minutesOf(samplesOf((atS) => ({ rssMiB: atS, slowestMs: atS })));
  assert.equal(minutes.length, 10);
  const [first] = minutes;
  assert.deepEqual([first?.minute, first?.rssMiB, first?.slowestMs, first?.heapMiB], [1, 29.5, 59, 35]);
});

test("a short soak sends every kind of load, and the gateway answers each as it should", () => {
  const words = ["--minutes", "0.2", "--json"];
  const run = spawnSync(process.execPath, [SOAK, ...words], { encoding: "utf8", timeout: 110_000 });
  // 1: in its first seconds the gateway is still filling its caches, so it may well not be flat.
  assert.ok(run.status === 0 || run.status === 1, run.stderr);
  const report = JSON.parse(run.stdout) as {
    verdict: { problems: string[] };
    facts: Record<string, number>;
    seen: Record<string, number>;
  };
  const wrong = report.verdict.problems.filter((problem) => !/^(?:memory|open files|threads) grow/.test(problem));
  assert.deepEqual(wrong, []);
  for (const kind of ["read 200", "strict 200", "small-body 200", "salary 403", "false-proof 401", "replay 401"]) {
    assert.ok((report.seen[kind] ?? 0) > 0, kind);
  }
  for (const kind of ["stream 200", "tunnel 101", "noise 400"]) assert.ok((report.seen[kind] ?? 0) > 0, kind);
  assert.ok((report.facts["operator_steps"] ?? 0) > 0 && (report.facts["audit_mib"] ?? 0) > 0);
});

test("an argument of the soak that is not known, or makes no sense, is refused", () => {
  for (const words of [["--minutes", "0"], ["--minutes", "long"], ["--fast"]]) {
    assert.equal(spawnSync(process.execPath, [SOAK, ...words], { timeout: 60_000 }).status, 2, words.join(" "));
  }
});
