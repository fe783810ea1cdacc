import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { parseBundle } from "../../../src/policy/parse-bundle.ts";
import { packBundle, type TarEntry, writeTar } from "./tar-writer.ts";

const manifest = (change: object = {}): string =>
  JSON.stringify({
    revision: "r1",
    roots: [""],
    wasm: [{ entrypoint: "cordon/decision", module: "/policy.wasm" }],
    ...change,
  });
const good: readonly TarEntry[] = [
  { path: "/data.json", content: '{"a":9007199254740993}' },
  { path: "/policy.wasm", content: "wasm" },
  { path: "/.manifest", content: manifest() },
];

function problemOf(bytes: Uint8Array): string {
  const parsed = parseBundle(bytes);
  assert.equal(parsed.ok, false);
  return parsed.ok ? "" : parsed.error;
}

test("a bundle gives its module, its data as written, its revision and its entry points", () => {
  const parsed = parseBundle(packBundle(good));
  assert.ok(parsed.ok);
  assert.equal(Buffer.from(parsed.value.wasm).toString(), "wasm");
  assert.equal(parsed.value.dataJson, '{"a":9007199254740993}');
  assert.equal(parsed.value.revision, "r1");
  assert.deepEqual(parsed.value.entrypoints, ["cordon/decision"]);
});

test("a bundle without a revision is known by the hash of its bytes", () => {
  const parsed = parseBundle(packBundle([good[1]!, { path: ".manifest", content: manifest({ revision: "" }) }]));
  assert.ok(parsed.ok);
  assert.match(parsed.value.revision, /^sha256:[0-9a-f]{64}$/);
  assert.equal(parsed.value.dataJson, "{}");
});

test("the default bundle that ships with Cordon parses", () => {
  assert.ok(parseBundle(readFileSync(new URL("../../../policies/bundle.tar.gz", import.meta.url))).ok);
});

const hostile: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["bytes that are no gzip", Buffer.from("no"), /not a gzip archive/],
  ["a path that climbs out", packBundle([...good, { path: "../x" }]), /unsafe path/],
  ["a path with a backslash", packBundle([...good, { path: "a\\b" }]), /unsafe path/],
  ["a path with two leading slashes", packBundle([...good, { path: "//x" }]), /unsafe path/],
  [
    "a file twice, once with a slash in front",
    packBundle([...good, { path: "policy.wasm", content: "other" }]),
    /twice/,
  ],
  ["a symbolic link", packBundle([...good, { path: "x", type: "2" }]), /type "2"/],
  ["a hard link", packBundle([...good, { path: "x", type: "1" }]), /type "1"/],
  ["an extended header", packBundle([{ path: "x", type: "x", content: "path=y" }, ...good]), /type "x"/],
  ["a wrong checksum", packBundle([{ path: "x", checksum: "0000001\0" }, ...good]), /checksum/],
  ["an archive cut short", gzipSync(writeTar(good).subarray(0, 1600)), /wrong size|middle of an entry/],
  ["no module", packBundle([good[0]!, good[2]!]), /no policy\.wasm/],
  ["no manifest", packBundle([good[0]!, good[1]!]), /no \.manifest/],
  ["a manifest that is a list", packBundle([good[1]!, { path: ".manifest", content: "[]" }]), /not a JSON object/],
  [
    "data that is no object",
    packBundle([good[1]!, good[2]!, { path: "data.json", content: "3" }]),
    /not a JSON object/,
  ],
  ["data that would be left out", packBundle([...good, { path: "jobs/data.json", content: "{}" }]), /jobs\/data\.json/],
  [
    "a missing entry point",
    packBundle([good[1]!, { path: ".manifest", content: manifest({ wasm: [] }) }]),
    /entry point cordon\/decision/,
  ],
  ["a signature that nobody checks", packBundle([...good, { path: "/.signatures.json", content: "{}" }]), /signed/],
];
for (const [title, bytes, problem] of hostile) {
  test(`H13 a bundle with ${title} is refused`, () => assert.match(problemOf(bytes), problem));
}

test("H13 a small archive that unpacks to more than the limit is refused", () => {
  assert.match(problemOf(gzipSync(Buffer.alloc(257 * 1024 * 1024))), /not a gzip archive within/);
});

test("H13 no change of one byte of the archive makes parsing throw", () => {
  const archive = writeTar(good);
  fc.assert(
    fc.property(fc.nat(archive.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(archive);
      changed[at] = value;
      assert.equal(typeof parseBundle(gzipSync(changed, { level: 1 })).ok, "boolean");
    }),
  );
});
