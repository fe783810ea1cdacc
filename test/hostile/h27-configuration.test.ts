// H27 through the real command line: a wrong configuration ends with exit code 2 and says how to mend every fault.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import { SOUND_CONFIG } from "../fixtures/sound-config.ts";

const folder = mkdtempSync(join(tmpdir(), "cordon-h27-"));
after(() => rmSync(folder, { recursive: true }));

function check(text: string) {
  const file = join(folder, "cordon.yaml");
  writeFileSync(file, text);
  return run("config", "check", file);
}

function run(...args: string[]) {
  const main = join(packageRoot(), "src", "cli", "main.ts");
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env: { PATH: process.env["PATH"] } });
}

function assertRefused(result: ReturnType<typeof run>, ...words: string[]): void {
  assert.equal(result.status, 2, result.stderr);
  for (const word of words) assert.ok(result.stderr.includes(word), `${word} in:\n${result.stderr}`);
}

test("H27 a sound configuration is OK and exits 0", () => {
  const result = check(SOUND_CONFIG);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stdout, "OK: 1 listener, 1 route, 1 issuer\n");
});

test("H27 an unknown key is refused with the known key that is nearest", () => {
  assertRefused(
    check(SOUND_CONFIG.replace("classification", "clasification")),
    "routes[0].resource.clasification",
    "`classification`",
  );
});

test("H27 a wrong type is refused with what to write", () => {
  assertRefused(
    check(SOUND_CONFIG.replace("port: 8080 ", "port: web ")),
    "listeners[0].port",
    "This is text.",
    "Write a number.",
  );
});

test("H27 a missing file and an unreadable key are refused with their paths", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(folder, "key.pem"), publicKey.export({ type: "spki", format: "pem" }));
  const tls = "port: 8080, tls: { certificate: none.pem, key: key.pem } ";
  const result = check(SOUND_CONFIG.replace("port: 8080 ", tls));
  assertRefused(result, "listeners[0].tls.certificate", "none.pem", "listeners[0].tls.key", "not a private key");
});

test("H27 clashing routes are refused by name", () => {
  const second = SOUND_CONFIG.trimEnd().split("\n").at(-1)?.replace("name: a", "name: b");
  assertRefused(check(`${SOUND_CONFIG}${second}\n`), "routes[1].path", "routes[0] (a)");
});

test("H27 several faults are told together", () => {
  const text = SOUND_CONFIG.replace("version: 1", "version: 2\nextra: 1").replace("[GET]", "GET");
  assertRefused(check(text), "3 problems", "version", "extra", "routes[0].methods");
});

test("H27 a file that is missing, and a control character in a key, are told safely", () => {
  assertRefused(run("config", "check", join(folder, "no.yaml")), "There is no such file.");
  const result = check(`${SOUND_CONFIG}"\\e[31mred": 1\n`);
  assertRefused(result, "red");
  assert.ok(!result.stderr.includes("\u001b"));
});
