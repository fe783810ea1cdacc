import assert from "node:assert/strict";
import { test } from "node:test";
import { createRouteTable } from "../../../src/action/match-route.ts";
import {
  type PathTemplate,
  parsePathTemplate,
  TEMPLATE_SEGMENTS_MAX,
  templatesClash,
} from "../../../src/action/path-template.ts";

function template(text: string): PathTemplate {
  const parsed = parsePathTemplate(text);
  assert.ok(parsed.ok, text);
  return parsed.value;
}

/** The name of the route that `path` finds, with its parameters. */
function find(templates: readonly string[], path: string): [string, Record<string, string>][] {
  const table = createRouteTable(templates.map((text) => ({ route: text, template: template(text) })));
  const found = table.find(
    path.slice(1).split("/"),
    () => true,
    () => true,
  );
  return found === undefined ? [] : [[found.route, { ...found.params }]];
}

test("a more specific route of another host hides nothing, and of equal ones the one with the method is found", () => {
  const routes = ["a /x/y GET", "b /** GET", "b /x/{p} POST", "b /x/{q} GET"];
  const table = createRouteTable(routes.map((route) => ({ route, template: template(route.split(" ")[1] ?? "") })));
  const ask = (host: string, method: string, path: string): string | undefined =>
    table.find(
      path.slice(1).split("/"),
      (route) => route.startsWith(host),
      (route) => route.endsWith(method),
    )?.route;
  assert.equal(ask("a", "GET", "/x/y"), "a /x/y GET");
  assert.equal(ask("b", "GET", "/x/y"), "b /x/{q} GET");
  assert.equal(ask("b", "POST", "/x/y"), "b /x/{p} POST");
  assert.equal(ask("b", "DELETE", "/x/y"), "b /x/{p} POST");
  assert.equal(ask("b", "GET", "/z"), "b /** GET");
  assert.equal(ask("a", "GET", "/z"), undefined);
});

test("a template is plain segments, parameters and a rest at its end", () => {
  assert.deepEqual(template("/jobs/{job_id}/**"), {
    text: "/jobs/{job_id}/**",
    segments: [
      { kind: "literal", text: "jobs" },
      { kind: "param", name: "job_id" },
    ],
    rest: true,
  });
});

for (const text of [
  "",
  "jobs",
  "//",
  "/a//b",
  "/a/",
  "/a/../b",
  "/./a",
  "/**/a",
  "/a/***",
  "/{A}",
  "/{a}{b}",
  "/x{a}",
  "/{}",
  "/{a}/{a}",
  "/a b",
  "/a%2fb",
  "/a?b",
  "/a#b",
  "/ä",
]) {
  test(`${JSON.stringify(text)} is refused as a template with a sentence that says why`, () => {
    const parsed = parsePathTemplate(text);
    assert.ok(!parsed.ok);
    assert.ok(parsed.error.length > 10);
  });
}

test("a template has a limit of segments", () => {
  assert.ok(parsePathTemplate("/a".repeat(TEMPLATE_SEGMENTS_MAX)).ok);
  assert.ok(!parsePathTemplate("/a".repeat(TEMPLATE_SEGMENTS_MAX + 1)).ok);
});

test("templates clash where neither is more specific than the other", () => {
  assert.ok(templatesClash(template("/a/{x}"), template("/a/{y}")));
  assert.ok(templatesClash(template("/a/**"), template("/a/**")));
  assert.ok(!templatesClash(template("/a/{x}"), template("/a/b")));
  assert.ok(!templatesClash(template("/a"), template("/a/**")));
  assert.ok(!templatesClash(template("/a/{x}"), template("/b/{x}")));
});

test("the most specific template wins, segment by segment, in whatever order they were given", () => {
  const templates = ["/**", "/jobs/**", "/jobs/{id}", "/jobs/open", "/jobs/{id}/candidates", "/jobs/open/candidates"];
  for (const given of [templates, templates.toReversed()]) {
    assert.deepEqual(find(given, "/jobs/open"), [["/jobs/open", {}]]);
    assert.deepEqual(find(given, "/jobs/J42"), [["/jobs/{id}", { id: "J42" }]]);
    assert.deepEqual(find(given, "/jobs/open/candidates"), [["/jobs/open/candidates", {}]]);
    assert.deepEqual(find(given, "/jobs/J42/candidates"), [["/jobs/{id}/candidates", { id: "J42" }]]);
    assert.deepEqual(find(given, "/jobs/J42/other"), [["/jobs/**", {}]]);
    assert.deepEqual(find(given, "/jobs"), [["/jobs/**", {}]]);
    assert.deepEqual(find(given, "/other"), [["/**", {}]]);
  }
});

test("a literal that leads nowhere does not hide the parameter beside it", () => {
  assert.deepEqual(find(["/a/b/c", "/a/{x}/d"], "/a/b/d"), [["/a/{x}/d", { x: "b" }]]);
});

test("an empty segment is never a parameter: a trailing slash is another path", () => {
  assert.deepEqual(find(["/jobs/{id}"], "/jobs/"), []);
  assert.deepEqual(find(["/jobs"], "/jobs/"), []);
});

test("the root matches the template `/`, and only it", () => {
  assert.deepEqual(find(["/"], "/"), [["/", {}]]);
  assert.deepEqual(find(["/"], "/a"), []);
  assert.deepEqual(find(["/", "/**"], "/"), [["/", {}]]);
});

test("names of Object.prototype are plain segments", () => {
  assert.deepEqual(find(["/a/{x}"], "/a/__proto__"), [["/a/{x}", { x: "__proto__" }]]);
  assert.deepEqual(find(["/a"], "/constructor"), []);
});
