import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CAPABILITIES_FILE } from "../../src/admin/policy-source.ts";
import { HOST_BUILTINS } from "../../src/policy/builtins.ts";
import { createEvaluator } from "../../src/policy/evaluator.ts";
import { parseBundle } from "../../src/policy/parse-bundle.ts";
import { capabilitiesText } from "../../scripts/write-capabilities.ts";
import { opaPath, skipWithoutOpa } from "./opa-for-tests.ts";

const folder = mkdtempSync(join(tmpdir(), "cordon-builtins-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const times = [
  "2026-01-01T00:00:00Z",
  "2026-03-08T06:59:59.999999999Z",
  "2026-03-08T07:00:00Z",
  "2026-11-01T05:30:00+00:00",
  "1969-12-31T23:59:59.5Z",
  "2000-02-29T12:00:00.123456789-07:30",
  "1677-09-21T00:12:44Z",
  "2262-04-11T23:47:16Z",
  "2262-04-12T00:00:00Z",
  "1600-01-01T00:00:00Z",
  "2026-02-29T00:00:00Z",
  "2026-01-01T24:00:00Z",
  "2026-06-30T23:59:60Z",
  "2026-1-01T00:00:00Z",
  "2026-01-01t00:00:00z",
  "2026-01-01 00:00:00Z",
  "2026-01-01T00:00:00",
  "2026-01-01T00:00:00.Z",
  "2026-01-01T00:00:00.1234567891Z",
  "2026-01-01T00:00:00,5Z",
  "2026-01-01T00:00:00+24:00",
  "2026-01-01T00:00:00+25:00",
  "2026-01-01T00:00:00+00:60",
  "0000-01-01T00:00:00Z",
  "",
  "now",
];
const nanoseconds = [
  "0",
  "-1",
  "1735689600123456789",
  "-1000000001",
  "1772953199999999999",
  "1772953200000000000",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
  "1793511000000000000",
];
const zones = [
  "UTC",
  "",
  "America/New_York",
  "Europe/Berlin",
  "Asia/Kolkata",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "America/Nowhere_City",
];
const texts = ["", "abc", "äöü€😀", 'quote " and \\ back', "a\u0000b", "line\nbreak", "aaa"];
const versions = [
  "1.0.0",
  "v1.0.0",
  "1.0",
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-2",
  "1.0.0-10",
  "1.0.0+build",
  "01.0.0",
  "1.0.0-01",
  "1.2.10",
  "1.10.2",
  "9223372036854775807.0.0",
  "9223372036854775808.0.0",
  "",
  "a.b.c",
  "1.0.0-",
  "1.0.0-a..b",
  "vv1.0.0",
  "-1.0.0",
];

const q = (value: unknown): string => JSON.stringify(value);
const pairs = (values: readonly string[]): (readonly [string, string])[] =>
  values.flatMap((a) => values.map((b) => [a, b] as const));

/** Every call as Rego text; each is evaluated by OPA itself and by the WebAssembly with Cordon's built-ins. */
const calls: readonly string[] = [
  ...times.map((time) => `time.parse_rfc3339_ns(${q(time)})`),
  ...nanoseconds.flatMap((ns) =>
    ["clock", "date", "weekday"].flatMap((name) => [
      `time.${name}(${ns})`,
      ...zones.map((zone) => `time.${name}([${ns}, ${q(zone)}])`),
    ]),
  ),
  ...nanoseconds.flatMap((ns) =>
    ["0, 0, 0", "1, 1, 1", "-1, 14, -40", "0, 1, 30", "400, 0, 0"].map((add) => `time.add_date(${ns}, ${add})`),
  ),
  ...texts.flatMap((text) => [`crypto.sha256(${q(text)})`, `hex.encode(${q(text)})`]),
  ...pairs(texts).flatMap(([a, b]) => [
    `crypto.hmac.sha256(${q(a)}, ${q(b)})`,
    `crypto.hmac.equal(${q(a)}, ${q(b)})`,
    `strings.count(${q(a)}, ${q(b)})`,
    `strings.any_prefix_match(${q(a)}, ${q(b)})`,
    `strings.any_suffix_match([${q(a)}, "x"], {${q(b)}, "y"})`,
  ]),
  ...pairs(versions).map(([a, b]) => `semver.compare(${q(a)}, ${q(b)})`),
  ...[...versions.map(q), "1", "null"].map((version) => `semver.is_valid(${version})`),
  ...["%s", "%v", "%q", "%x", "%X", "%5s|", "%-5s|", "100%% %s"].map((format) => `sprintf(${q(format)}, ["abc"])`),
  ...["0", "7", "-42", "255", "1735689600123456789", "123456789012345678901234567890"].flatMap((value) =>
    ["%d", "%v", "%x", "%X", "%5d|", "%-5d|", "%05d", "%+d"].map((format) => `sprintf(${q(format)}, [${value}])`),
  ),
  ...["true", "false", "null"].flatMap((value) => ["%v", "%s"].map((format) => `sprintf(${q(format)}, [${value}])`)),
  'sprintf("%s:%s:%s", ["read", "äöü, ]", "J42"])',
  'sprintf("", [])',
  'sprintf("plain", [])',
  'sprintf("%v,%v", ["a\\"b", 1])',
];

const source = `package cordon\n\ndecision := {"allow": false, "reasons": [], "obligations": {}}\n\n${calls
  .map((call, index) => `results["${index}"] := r if r := ${call}`)
  .join("\n")}\n`;

function exactly(text: string): unknown {
  const parse = JSON.parse as (
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ) => unknown;
  return parse(text, (_key, value, context) => (typeof value === "number" ? `number ${context.source}` : value));
}

test("every host built-in answers as OPA's own does, also where it has no answer", { skip: skipWithoutOpa }, () => {
  writeFileSync(join(folder, "calls.rego"), source);
  writeFileSync(join(folder, "text.rego"), "package cordon\n\ntext := json.marshal(results)\n");
  const native = exactly(
    execFileSync(opaPath, ["eval", "-f", "raw", "-d", "calls.rego", "json.marshal(data.cordon.results)"], {
      cwd: folder,
      encoding: "utf8",
    }),
  ) as Record<string, unknown>;
  execFileSync(
    opaPath,
    [
      "build",
      "-t",
      "wasm",
      "-e",
      "cordon/decision",
      "-e",
      "cordon/text",
      "--capabilities",
      CAPABILITIES_FILE,
      "-o",
      "b.tar.gz",
      "calls.rego",
      "text.rego",
    ],
    {
      cwd: folder,
    },
  );
  const bundle = parseBundle(readFileSync(join(folder, "b.tar.gz")));
  assert.ok(bundle.ok);
  const evaluator = createEvaluator({
    module: new WebAssembly.Module(bundle.value.wasm),
    dataJson: "{}",
    memoryPagesMax: 1024,
  });
  const result = evaluator.evaluateEntry("cordon/text", "{}", 0);
  assert.ok(result.ok, result.ok ? "" : (result.error.detail ?? ""));
  const wasm = exactly(result.value as string) as Record<string, unknown>;
  const differing = calls
    .map((call, index) => ({ call, opa: native[String(index)], cordon: wasm[String(index)] }))
    .filter(({ opa, cordon }) => JSON.stringify(opa) !== JSON.stringify(cordon));
  assert.deepEqual(differing, []);
  assert.ok(Object.keys(wasm).length > calls.length / 2);
  for (const name of HOST_BUILTINS.keys())
    assert.ok(name === "time.now_ns" || source.includes(`${name}(`), `${name} is not compared`);
});

test("what is not imitated exactly is a deny, never a guess", { skip: skipWithoutOpa }, () => {
  const inexact = [
    'sprintf("%f", [1.5])',
    'sprintf("%d", ["x"])',
    'sprintf("%s", [])',
    'sprintf("%v", [{"a": 1}])',
    'sprintf("x", [1])',
    'time.clock([0, "EST"])',
  ];
  for (const call of inexact) {
    writeFileSync(
      join(folder, "one.rego"),
      `package cordon\n\ndecision := {"allow": true, "reasons": [], "obligations": {}} if ${call} != ""\n`,
    );
    execFileSync(opaPath, ["build", "-t", "wasm", "-e", "cordon/decision", "-o", "one.tar.gz", "one.rego"], {
      cwd: folder,
    });
    const bundle = parseBundle(readFileSync(join(folder, "one.tar.gz")));
    assert.ok(bundle.ok);
    const decision = createEvaluator({
      module: new WebAssembly.Module(bundle.value.wasm),
      dataJson: "{}",
      memoryPagesMax: 64,
    }).decide("{}", 0);
    assert.equal(decision.ok ? "" : decision.error.reason, "policy.error", call);
  }
});

test("the capabilities file is what OPA compiles natively and what Cordon provides", { skip: skipWithoutOpa }, () => {
  const current = execFileSync(opaPath, ["capabilities", "--current"], { encoding: "utf8" });
  assert.equal(readFileSync(CAPABILITIES_FILE, "utf8"), capabilitiesText(current));
});
