import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureQuickstartKeys, readKeyFile } from "../../../src/agent/quickstart-keys.ts";

test("keys are made once, the private one for its owner only, and the public set has no private part", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "cordon-keys-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const inner = join(folder, "data", "quickstart");
  const [first] = ensureQuickstartKeys(inner, ["a", "b"]);
  assert.ok(first);
  const before = readFileSync(first.privateFile, "utf8");
  ensureQuickstartKeys(inner, ["a"]);
  assert.equal(readFileSync(first.privateFile, "utf8"), before);
  assert.equal(statSync(first.privateFile).mode & 0o777, 0o600);
  assert.equal(statSync(inner).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(inner).toSorted(), ["a.jwk", "a.jwks.json", "b.jwk", "b.jwks.json"]);
  const { keys } = JSON.parse(readFileSync(first.publicFile, "utf8"));
  assert.deepEqual(Object.keys(keys[0]).toSorted(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
  assert.equal(keys[0].kid, readKeyFile(first.privateFile).thumbprint);
});

test("a missing or damaged key file is named, and its content is not quoted", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "cordon-keys-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "x.jwk");
  assert.throws(() => readKeyFile(file), { code: "key_invalid", message: `There is no key file ${file}.` });
  writeFileSync(file, '{"d":"very-secret"');
  assert.throws(() => readKeyFile(file), { code: "key_invalid", message: `${file} is not a private JWK.` });
});
