// docs/limits.md is complete and true: what is configured, what is refused, what is kept, and the figures that it gives.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { GATEWAY_ENVIRONMENT } from "../../bench/soak/soak-config.ts";
import { configSchema } from "../../src/config/schema.ts";
import { REASONS } from "../../src/errors.ts";
import { packageRoot } from "../../src/lib/package-root.ts";

const root = packageRoot(import.meta.url);
const page = readFileSync(join(root, "docs", "limits.md"), "utf8");
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name, text: readFileSync(join(root, "src", name), "utf8") }));

/** What a refusal says where something is full or too large. */
const LIMIT_STATUSES = new Set([413, 429, 431, 503]);
/** A 503 for another cause: something is missing, broken, or over. */
const NO_LIMIT = new Set([
  "token.keys_unavailable",
  "containment.stale",
  "containment.no_monitor",
  "budget.unavailable",
  "policy.not_loaded",
  "audit.unavailable",
  "gateway.draining",
  "gateway.thread_ended",
]);
/** Constants that bound what is kept, as their names say; what bounds one text or one message is not among them. */
const KEPT =
  /^(?!GATHER_)(?:\w+_)?(?:AGENTS|APPLICATIONS|CALLS|CLAIMS|CONNECTIONS|DECISIONS|ENTRIES|EVENTS|HISTORY_LINES|KEPT|KEPT_BYTES|KEYS|LABELLED_SESSIONS|LABELS_OF_SESSION|LINES|OPERATORS|PEERS|PER_PEER|REFUSALS|REMEMBERED|SEEN|WAITING|WAITING_BYTES|BUFFER_BYTES|CLAIMS_BYTES)_MAX$/;
/** The client's own side; nobody else can make it grow. */
const CLIENT_ROOMS = /^(?:agent|cli)\//;

const isNamed = (name: string): boolean => page.includes(`\`${name}\``) || page.includes(`\`limits.${name}\``);

test("every option under `limits` is on the page", () => {
  const { limits } = configSchema.shape;
  const names = Object.keys(limits.unwrap().shape);
  assert.ok(names.length > 10);
  assert.deepEqual(
    names.filter((name) => !isNamed(name)),
    [],
  );
});

test("every reason that is given at a limit is on the page", () => {
  const reasons = Object.entries(REASONS).filter(([, { status }]) => LIMIT_STATUSES.has(status));
  const missing = reasons.map(([reason]) => reason).filter((reason) => !NO_LIMIT.has(reason) && !isNamed(reason));
  assert.deepEqual(missing, []);
  assert.deepEqual(
    [...NO_LIMIT].filter((reason) => !Object.hasOwn(REASONS, reason)),
    [],
  );
});

test("every constant that bounds what is kept is on the page, with its file", () => {
  const missing: string[] = [];
  for (const { name, text } of sources) {
    if (CLIENT_ROOMS.test(name)) continue;
    for (const [, constant = ""] of text.matchAll(/^(?:export )?const ([A-Z][A-Z0-9_]*_MAX)\b/gm)) {
      if (!KEPT.test(constant)) continue;
      const line = page
        .split("\n")
        .find((row) => row.includes(`\`${constant}\``) && row.includes(`\`${basename(name)}\``));
      if (line === undefined) missing.push(`${constant} (${name})`);
    }
  }
  assert.deepEqual(missing, []);
});

test("every figure that the page gives for a constant is the constant's", () => {
  let checked = 0;
  const wrong: string[] = [];
  for (const row of page.split("\n")) {
    const [, file] = /\(`([a-z-]+\.ts)`\)/.exec(row) ?? [];
    if (file === undefined) continue;
    const texts = sources.filter(({ name }) => basename(name) === file).map(({ text }) => text);
    for (const [, constant = "", figure = "", unit = ""] of row.matchAll(/`([A-Z][A-Z0-9_]*)` ([\d,]+)( KiB| MiB)?/g)) {
      checked += 1;
      const scale = unit === " KiB" ? 1024 : unit === " MiB" ? 1024 * 1024 : 1;
      const given = Number(figure.replaceAll(",", "")) * scale;
      const found = texts.map((text) => new RegExp(`const ${constant}(?:: number)? = ([\\d_* ]+);`).exec(text)?.[1]);
      if (!found.some((value) => value !== undefined && productOf(value) === given))
        wrong.push(`${constant} in ${file}`);
    }
  }
  assert.ok(checked > 15);
  assert.deepEqual(wrong, []);
});

test("the image, this page and the README name the setting of malloc with which the soak measures memory", () => {
  const settings = Object.entries(GATEWAY_ENVIRONMENT).map((setting) => setting.join("="));
  assert.equal(settings.length, 1);
  for (const setting of settings) {
    assert.match(readFileSync(join(root, "Dockerfile"), "utf8"), new RegExp(`^ENV ${setting}$`, "m"));
    assert.ok(page.includes(`\`${setting}\``));
    assert.ok(readFileSync(join(root, "README.md"), "utf8").includes(`\`${setting}\``));
  }
});

/** `64 * 1024 * 1024`, with separators. */
function productOf(text: string): number {
  return text.split("*").reduce((product, factor) => product * Number(factor.trim().replaceAll("_", "")), 1);
}
