// The rules of the house, kept by a test: rooms, sizes, reasons, dependencies, opening comments.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { reasonsPage } from "../../scripts/reasons-page.ts";
import { REASONS } from "../../src/errors.ts";
import { packageRoot } from "../../src/lib/package-root.ts";

const LINES_MAX = 400;
const ROOMS_THAT_JOIN = new Set(["gateway", "admin", "cli"]);
const ROOMS_THAT_DECIDE = new Set(["token", "action", "policy", "containment", "budget"]);
/** Configuration is checked with the gateway's own idea of what clashes; a second one would drift. */
const ALLOWED_IMPORTS = new Set(["src/config/check-fields.ts -> src/action/path-template.ts"]);

const IO_MODULES =
  /^(?:node:)?(?:fs|fs\/promises|http|http2|https|net|tls|dns|dns\/promises|dgram|sqlite|child_process|worker_threads|timers|timers\/promises|cluster|readline|inspector)$|^(?:undici|pino|fastify|http-proxy)$/;
const IO_GLOBALS =
  /(?<![\w.])(?:Date\.now|new Date\(\)|setTimeout|setInterval|setImmediate|fetch|performance\.now|process\.(?:env|hrtime|stdout|stderr|on|exit)|console\.\w+)\b\(?/;
/** The smoke evaluation of a new bundle runs in a thread of its own, since a bad policy may never return. */
const MAY_USE_THREADS = new Set([
  "src/policy/check-bundle.ts",
  "src/policy/check-thread.ts",
  "src/policy/check-worker.ts",
]);

const root = packageRoot(import.meta.url);
const files = ["src", "test", "bench", "examples", "scripts"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(?:ts|mjs)$/.test(name))
    .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(root, folder, name), "utf8") })),
);
const sources = files.filter((file) => file.path.startsWith("src/"));

const roomOf = (path: string) => path.split("/")[1] ?? "";

/** Modules that are loaded at run time; `import type` is erased. */
function imports(text: string): string[] {
  const pattern = /^\s*(?:import|export)\s+(?!type\b)(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? "");
}

/** Comments and strings speak of timers without starting one. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:\w"'`])\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, "");
}

test("imports point inward: a room loads only itself, lib and errors", () => {
  const wrong: string[] = [];
  for (const { path, text } of sources) {
    if (path.split("/").length < 3 || ROOMS_THAT_JOIN.has(roomOf(path))) continue;
    for (const name of imports(text).filter((specifier) => specifier.startsWith("."))) {
      const target = relative(root, resolve(root, dirname(path), name));
      const inward = target === "src/errors.ts" || target.startsWith("src/lib/") || roomOf(target) === roomOf(path);
      if (!inward && !ALLOWED_IMPORTS.has(`${path} -> ${target}`)) wrong.push(`${path} -> ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("in the gateway's room the main thread and the data threads load nothing of each other, and an exchange nothing of either", () => {
  const wrong: string[] = [];
  for (const { path, text } of sources) {
    const part = /^src\/gateway\/(supervisor|thread|exchange)\//.exec(path)?.[1];
    const others = {
      supervisor: /\/(?:thread|exchange)\//,
      thread: /\/supervisor\//,
      exchange: /\/(?:thread|supervisor)\//,
    };
    if (part === undefined) continue;
    for (const name of imports(text))
      if (others[part as keyof typeof others].test(name)) wrong.push(`${path} -> ${name}`);
  }
  assert.deepEqual(wrong, []);
});

test("rooms that decide do no I/O and read no clock", () => {
  const wrong: string[] = [];
  for (const { path, text } of sources) {
    if (!ROOMS_THAT_DECIDE.has(roomOf(path)) || MAY_USE_THREADS.has(path)) continue;
    for (const name of imports(text)) if (IO_MODULES.test(name)) wrong.push(`${path} imports ${name}`);
    const used = IO_GLOBALS.exec(codeOf(text));
    if (used !== null) wrong.push(`${path} uses ${used[0]}`);
  }
  assert.deepEqual(wrong, []);
});

/** Objects of which an exchange makes its own. A connection, an agent and a policy may be keys: they outlive exchanges. */
const WEAK_BY_EXCHANGE = /\bWeak(?:Map|Set)<\s*(?:IncomingMessage|ServerResponse|ReadRequest|ExchangeFacts|Judged)\b/;

test("what lives for one exchange is a key of no WeakMap, whose values survive V8's minor collections", () => {
  const wrong = sources.filter(({ text }) => WEAK_BY_EXCHANGE.test(codeOf(text))).map(({ path }) => path);
  assert.deepEqual(wrong, []);
});

test("no file is longer than 400 lines", () => {
  const long = files.filter(({ text }) => text.split("\n").length - 1 > LINES_MAX).map(({ path }) => path);
  assert.deepEqual(long, []);
});

test("every module opens with a comment", () => {
  const bare = files
    .filter(({ path }) => !path.startsWith("test/"))
    .filter(({ text }) => !/^(?:#![^\n]*\n)?\/[/*]/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(bare, []);
});

test("every reason is documented in docs/reasons.md", () => {
  assert.equal(readFileSync(join(root, "docs/reasons.md"), "utf8"), reasonsPage(), "run node scripts/write-reasons.ts");
});

test("every reason is used", () => {
  const all = sources
    .filter(({ path }) => path !== "src/errors.ts")
    .map(({ text }) => text)
    .join("\n");
  const unused = Object.keys(REASONS).filter((reason) => !all.includes(`"${reason}"`));
  assert.deepEqual(unused, []);
});

test("every dependency is named in docs/dependencies.md", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, object>;
  const page = readFileSync(join(root, "docs/dependencies.md"), "utf8");
  const names = Object.keys({ ...manifest["dependencies"], ...manifest["devDependencies"] });
  assert.deepEqual(
    names.filter((name) => !page.includes(`| \`${name}\` |`)),
    [],
  );
});
