// docs/mcp.md holds a table of rules, versions and tests: each test exists, and no method is without one.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MCP_METHODS, MCP_VERSIONS } from "../../src/action/mcp/methods.ts";
import { packageRoot } from "../../src/lib/package-root.ts";

const root = packageRoot(import.meta.url);
const page = readFileSync(join(root, "docs/mcp.md"), "utf8");
const tests = ["integration", "hostile"]
  .flatMap((folder) => readdirSync(join(root, "test", folder)).map((name) => join(root, "test", folder, name)))
  .filter((file) => /mcp[^/]*\.test\.ts$/.test(file))
  .map((file) => readFileSync(file, "utf8"))
  .join("\n");

/** Cells of the table of the page that begins with this line. */
function rowsOf(heading: string): string[][] {
  const [table = ""] = page.slice(page.indexOf(heading)).split("\n\n");
  const rows = table.split("\n").slice(2);
  return rows.filter((line) => line.startsWith("|")).map((line) => line.slice(2, -2).split(" | "));
}

function assertTitles(of: string, names: string): void {
  const titles = [...names.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
  assert.ok(titles.length > 0, of);
  for (const title of titles) assert.ok(isTitle(tests, title), `${of}: no test "${title}"`);
}

const isVersion = (version: string): boolean =>
  version === "both" || (MCP_VERSIONS as readonly string[]).includes(version);

test("every rule of MCP in docs/mcp.md names a version and tests that exist", () => {
  const rows = rowsOf("| rule | version | test |");
  assert.ok(rows.length >= 25, `${rows.length} rules`);
  for (const [rule = "", version = "", names = ""] of rows) {
    assert.ok(isVersion(version), rule);
    assertTitles(rule, names);
  }
});

test("every capability of a public client in docs/mcp.md names the client of the tests, a version and tests that exist", () => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const clients = ["sdk", "client"].map((name) => devDependencies[`@modelcontextprotocol/${name}`]);
  const rows = rowsOf("| capability | client | version | test |");
  assert.ok(rows.length >= 15, `${rows.length} capabilities`);
  for (const row of rows) {
    const [client = "", version = "", names = ""] = row.slice(-3);
    assert.ok(clients.includes(client) && isVersion(version), names);
    assertTitles(client, names);
  }
});

/** Titles of rows that a loop makes stand in the file as a template around the row's own words. */
function isTitle(text: string, title: string): boolean {
  if (text.includes(`test("${title}"`)) return true;
  const templates = [...text.matchAll(/test\(\s*`([^`]+)`/g)].map((match) => (match[1] ?? "").split(/\$\{[^}]*\}/));
  return templates.some((parts) => {
    const words = new RegExp(`^${parts.map(escape).join("(.+?)")}$`).exec(title)?.slice(1) ?? [];
    return words.some((word) => text.includes(`"${word}"`));
  });
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

test("every method of MCP has a class, a source and a name that no other row of its version has", () => {
  for (const version of MCP_VERSIONS) {
    const names = MCP_METHODS[version].map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, source, list, class: messageClass } of MCP_METHODS[version]) {
      assert.match(source, new RegExp(`^schema/${version}/schema\\.ts`), name);
      assert.equal(list !== undefined, messageClass === "list", name);
    }
  }
});

test("the table of MCP methods is the one of the standard, no more and no less", () => {
  const requests = (version: (typeof MCP_VERSIONS)[number]): string[] =>
    MCP_METHODS[version]
      .filter(({ kind }) => kind === "request")
      .map(({ name }) => name)
      .sort();
  // ClientRequest in schema/2026-07-28/schema.ts.
  assert.deepEqual(requests("2026-07-28"), [
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "server/discover",
    "subscriptions/listen",
    "tools/call",
    "tools/list",
  ]);
  // ClientRequest in schema/2025-11-25/schema.ts.
  assert.deepEqual(requests("2025-11-25"), [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tools/call",
    "tools/list",
  ]);
});
