// The long run itself: what it finds, makes small and keeps, with faults that are planted here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { readCases } from "../kept-cases.ts";
import { mutatedText } from "../mutated-text.ts";
import { ACCEPTED, type AnyProperty, property } from "../property.ts";
import { chooseNames, parseFuzzArguments } from "./arguments.ts";
import { startCounting } from "./coverage.ts";
import { walkMaze } from "./maze.ts";
import { createPropertySubject } from "./property-subject.ts";
import { runFuzz } from "./run-fuzz.ts";

const folder = mkdtempSync(path.join(tmpdir(), "cordon-cases-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function planted(name: string, check: (text: string) => string, corpus: string[] = ["abc"]): AnyProperty {
  const guide = { corpus, modules: ["test/properties/fuzz/maze.ts"] };
  return property<string>({ name, says: name, inputs: mutatedText(corpus, "codrn!".split("")), check, runs: 1, guide });
}

function run(one: AnyProperty, minutes: number) {
  const lines: string[] = [];
  const subjects = [createPropertySubject(one, { casesFolder: folder })];
  const found = runFuzz({ subjects, minutes, seed: 1, casesFolder: folder, say: (line) => void lines.push(line) });
  return found.then((findings) => ({ findings, text: lines.join("\n") }));
}

test("a fault is found, made small, kept as a case, and the next run begins with it", async () => {
  const broken = planted("planted.mark", (text) => {
    assert.ok(!/a.*!/.test(text), "a mark behind an a");
    return ACCEPTED;
  });
  const first = await run(broken, 1);
  assert.equal(first.findings[0]?.input, "a!");
  assert.deepEqual(readCases("planted.mark", folder), [{ why: "a mark behind an a", input: "a!" }]);
  assert.match(
    first.text,
    /FOUND planted\.mark: a mark behind an a\n.*\n.*kept in .*\n.*--only planted\.mark --seed -?\d+\n/,
  );
  assert.match(first.text, /planted\.mark .*BROKEN/);

  const replayed = await run(broken, 0);
  assert.equal(replayed.findings[0]?.input, "a!");
  assert.match(replayed.text, /a kept case that is broken again/);
  assert.equal(readCases("planted.mark", folder).length, 1, "the same case is kept once");
});

test("the seed of a finding leads to it again", async () => {
  const broken = planted("planted.seed", (text) => {
    if (text.includes("!!!!")) throw new Error("four marks");
    return ACCEPTED;
  });
  const subject = () => createPropertySubject(broken, { casesFolder: folder });
  const found = await subject().run(60_000, 7);
  assert.ok(found?.seed !== undefined);
  const again = await subject().run(60_000, found.seed);
  assert.equal(again?.seed, found.seed);
  assert.equal(again.input, found.input);
});

test("a property that holds is run for its time, and its inputs are counted", async () => {
  const holds = planted("planted.holds", (text) => (text.length % 2 === 0 ? ACCEPTED : "odd"));
  const { findings, text } = await run(holds, 0.01);
  assert.deepEqual(findings, []);
  const [, runs, share] = /planted\.holds +(\d+) +(\d+)%.*holds/.exec(text) ?? [];
  assert.ok(Number(runs) > 100 && Number(share) > 10 && Number(share) < 90, text);
});

test("inputs that reach new code are mutated further, so that a fault behind six conditions is found", async () => {
  const createCoverage = await startCounting();
  const corpus = ["abc"];
  const subject = createPropertySubject(planted("planted.maze", walkMaze, corpus), {
    createCoverage,
    casesFolder: folder,
  });
  const found = await subject.run(60_000, 1);
  assert.match(String(found?.input), /^cordon/);
  assert.ok(corpus.length > 3, "nothing was kept on the way");
  assert.equal(subject.tally().kept, corpus.length - 1);
  assert.ok((subject.tally().reached ?? 0) > 0.8);
});

test("an input whose check takes too long is a finding, though its verdict is right", async () => {
  const slow = planted("planted.slow", (text) => {
    const until = performance.now() + (text.includes("!") ? 150 : 0);
    while (performance.now() < until);
    return ACCEPTED;
  });
  const subject = createPropertySubject(slow, { casesFolder: folder, checkMsMax: 120 });
  const found = await subject.run(60_000, 1);
  assert.equal(found?.input, "!");
  assert.match(found.message, /took \d+ ms/);
});

test("a finding whose input is no text is kept as it is", async () => {
  const inputs = fc.record({ number: fc.nat() });
  const check = ({ number }: { number: number }): string => {
    if (number > 99) throw new Error("large");
    return ACCEPTED;
  };
  const { findings } = await run(property({ name: "planted.number", says: "", inputs, check, runs: 1 }), 1);
  assert.deepEqual(findings[0]?.input, { number: 100 });
});

test("the command line names a property, a unit or nothing, and refuses what it does not know", () => {
  const names = ["proof.forged", "proof.bytes", "target.canonical", "socket"];
  const only = (...wanted: string[]) => {
    const chosen = chooseNames(wanted, names);
    return chosen.ok ? [...chosen.value] : chosen.error;
  };
  assert.deepEqual(only(), names);
  assert.deepEqual(only("proof"), ["proof.forged", "proof.bytes"]);
  assert.deepEqual(only("socket", "target.canonical"), ["socket", "target.canonical"]);
  assert.match(String(only("pro")), /--only pro: none of/);
  const parsed = parseFuzzArguments(["--minutes", "0.5", "--seed=-7", "--only", "a", "--only", "b"]);
  assert.ok(parsed.ok && parsed.value.minutes === 0.5 && parsed.value.seed === -7);
  assert.deepEqual(parsed.value.only, ["a", "b"]);
  for (const wrong of [
    "--minutes=x",
    "--minutes=-1",
    "--minutes=1e9",
    "--seed=1.5",
    "--seed=99999999999",
    "--sed=1",
    "word",
  ]) {
    assert.ok(!parseFuzzArguments([wrong]).ok, wrong);
  }
});

test("help teaches, a wrong word ends with 2, kept cases that hold end with 0", () => {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const fuzz = (...words: string[]) => spawnSync(process.execPath, [main, ...words], { encoding: "utf8" });
  const help = fuzz("--help");
  assert.equal(help.status, 0);
  assert.match(help.stdout, /--minutes N[^]*--only NAME[^]*--seed S[^]*Exit codes/);
  const wrong = fuzz("--minute", "1");
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /^fuzz: .*'--minute'/);
  const kept = fuzz("--minutes", "0", "--only", "headers");
  assert.equal(kept.status, 0, kept.stdout + kept.stderr);
  assert.match(kept.stdout, /headers\.request .*holds/);
});
