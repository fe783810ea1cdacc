// OpenAPI documents that a route names: what is wrong with one is told at start, with its place, and nothing remote is read.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../../src/config/load-config.ts";
import { packageRoot } from "../../../src/lib/package-root.ts";
import { BEFORE_ROUTES } from "../../fixtures/sound-config.ts";
import { bodyOf, problemsOf, thingsDocument } from "../../fixtures/openapi-gateway.ts";

test("a reference that leads out of the document, to nothing or round in a circle is a problem, and is never fetched", (t) => {
  for (const reference of [
    "https://evil.example/s.json",
    "other.yaml#/a",
    "#/paths",
    "#anchor",
    "#/components/schemas/None",
  ]) {
    const [problem] = problemsOf(t, thingsDocument({ requestBody: bodyOf({ $ref: reference }) }));
    assert.match(
      problem ?? "",
      /^\/paths\/~1things~1\{id\}\/post\/requestBody\/content\/application~1json\/schema\/\$ref: /,
      reference,
    );
  }
  for (const reference of [
    "https://evil.example/p.json",
    "#/components/parameters/None",
    "#/components/parameters/Loop",
  ]) {
    const loop = { components: { parameters: { Loop: { $ref: "#/components/parameters/Loop" } } } };
    const [problem] = problemsOf(t, thingsDocument({ parameters: [{ $ref: reference }] }, loop));
    assert.match(problem ?? "", /post\/parameters\/0\/\$ref: /, reference);
  }
});

test("a schema that contains itself, or is nothing but itself, is read", (t) => {
  const schemas = {
    Tree: { type: "object", properties: { next: { $ref: "#/components/schemas/Tree" } } },
    Loop: { $ref: "#/components/schemas/Loop" },
  };
  const document = (name: string) =>
    thingsDocument({ requestBody: bodyOf({ $ref: `#/components/schemas/${name}` }) }, { components: { schemas } });
  assert.deepEqual(problemsOf(t, document("Tree")), []);
  assert.deepEqual(problemsOf(t, document("Loop")), []);
});

test("a chain of ten thousand schemas is read without a stack of as many calls", (t) => {
  const schemas = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [
      `S${index}`,
      { properties: { a: { $ref: `#/components/schemas/S${(index + 1) % 10_000}` } } },
    ]),
  );
  assert.deepEqual(
    problemsOf(
      t,
      thingsDocument({ requestBody: bodyOf({ $ref: "#/components/schemas/S0" }) }, { components: { schemas } }),
    ),
    [],
  );
});

test("what could not be kept is a problem: keywords, styles and names that are not understood", (t) => {
  const query = (more: object) => ({ parameters: [{ name: "q", in: "query", schema: { type: "string" }, ...more }] });
  const cases: [object, RegExp][] = [
    [{ requestBody: bodyOf({ patternProperties: {} }) }, /schema\/patternProperties: This keyword is not evaluated/],
    [{ requestBody: bodyOf({ $id: "https://evil.example/" }) }, /schema\/\$id: /],
    [{ requestBody: bodyOf({ type: "file" }) }, /schema\/type: /],
    [{ requestBody: bodyOf({ maxLength: -1 }) }, /schema\/maxLength: /],
    [{ requestBody: bodyOf({ properties: { a: 1 } }) }, /schema\/properties\/a: This is no schema/],
    [{ requestBody: { content: { "multipart/form-data": {} } } }, /requestBody: No JSON body/],
    [query({ style: "deepObject" }), /parameters\/0\/style: /],
    [query({ schema: { type: "object" } }), /parameters\/0\/schema: /],
    [query({ schema: { type: "array" }, explode: false }), /parameters\/0\/schema: A list/],
    [query({ schema: undefined }), /parameters\/0: A parameter has a `schema`/],
    [query({ name: "id" }), /post: Two parameters are called `id`/],
    [query({ name: "__proto__" }), /parameters\/0\/name: /],
    [query({ name: "other", in: "path", required: true }), /post: The path has no parameter `other`/],
    [query({ in: "cookie", required: true }), /Cookies are not sent on/],
    [query({ in: "header", name: "X-Forwarded-For" }), /The gateway itself writes/],
    [{ operationId: "" }, /operationId: This is no name/],
    [{ ...query({ name: "body" }), requestBody: bodyOf({}) }, /The parameter `body` has the name/],
  ];
  for (const [operation, expected] of cases) {
    const problems = problemsOf(t, thingsDocument(operation as Readonly<Record<string, unknown>>));
    assert.ok(
      problems.some((problem) => expected.test(problem)),
      `${expected.source}: ${JSON.stringify(problems)}`,
    );
  }
});

test("two operations of one name, two paths that match the same requests, and a path that is no path are problems", (t) => {
  const post = { operationId: "same" };
  const paths = (more: object) => ({ openapi: "3.1.0", paths: { "/a": { post }, ...more } });
  assert.match(problemsOf(t, paths({ "/b": { post } }))[0] ?? "", /operationId: POST \/a has this name too/);
  const id = (name: string) => ({ post: { parameters: [{ name, in: "path", required: true, schema: {} }] } });
  assert.match(
    problemsOf(t, paths({ "/{x}": id("x"), "/{y}": id("y") }))[0] ?? "",
    /matches the same requests as \/\{x\}/,
  );
  assert.match(problemsOf(t, paths({ "/{x}.json": id("x") }))[0] ?? "", /A parameter is a whole segment/);
  assert.match(
    problemsOf(t, { openapi: "3.1.0", paths: { "/a": { get: {} } } })[0] ?? "",
    /No operation is one that this route takes/,
  );
});

test("what the route does not reach is not read: another method and another path may use anything", (t) => {
  const document = thingsDocument({ operationId: "pay" });
  const paths = { ...(document["paths"] as object), "/a": { get: { requestBody: { $ref: "https://evil.example/" } } } };
  assert.deepEqual(problemsOf(t, { ...document, paths }), []);
});

test("a file that is no document, too large, or a bomb of aliases is one problem", (t) => {
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [one, next] of ["ab", "bc", "cd", "de", "ef", "fg"])
    bomb.push(`${next}: &${next} [${`*${one},`.repeat(9)}]`);
  for (const text of [
    "swagger: '2.0'",
    "openapi: 3.1",
    "[]",
    "null",
    "{",
    "a: 1\na: 2",
    "a: &a [*a]",
    bomb.join("\n"),
    `"${"x".repeat(4 * 1024 * 1024)}"`,
    "[".repeat(100_000),
  ]) {
    assert.equal(problemsOf(t, text).length, 1, text.slice(0, 40));
  }
});

test("the configuration's check tells the place in the document, and what does not go with one", (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-openapi-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const page = readFileSync(path.join(packageRoot(), "docs", "openapi.md"), "utf8");
  const example = /```yaml\n(.*?)```/s.exec(page)?.[1] ?? "";
  const file = path.join(folder, "cordon.yaml");
  const load = (text: string) => {
    writeFileSync(file, BEFORE_ROUTES + text);
    const loaded = loadConfig(file, {});
    return loaded.ok ? [] : loaded.error.map((problem) => problem.path);
  };
  assert.deepEqual(load(example), ["routes[0].openapi.file"], "the file is not there");
  const text = readFileSync(path.join(packageRoot(), "examples/tools/ats/openapi.yaml"), "utf8");
  writeFileSync(path.join(folder, "ats.openapi.yaml"), text);
  assert.deepEqual(load(example), [], "the page's example is taken as it stands");
  const wrong = example.replace(
    "    resource:",
    "    tool: ats\n    body: stream\n    upgrade: [websocket]\n    resource:",
  );
  assert.deepEqual(load(wrong), ["routes[0].tool", "routes[0].body", "routes[0].upgrade"]);
  writeFileSync(path.join(folder, "ats.openapi.yaml"), text.replace("maximum: 100", "maximum: many"));
  assert.deepEqual(load(example), ["routes[0].openapi.file /components/schemas/Score/properties/score/maximum"]);
});
