// In: path templates and paths. Out: the property of the route table.
// The model: every template tried on its own, and the rule of the documentation: literal before parameter before rest.
import assert from "node:assert/strict";
import fc from "fast-check";
import { createRouteTable } from "../../src/action/match-route.ts";
import { type PathTemplate, parsePathTemplate, templatesClash } from "../../src/action/path-template.ts";
import { parseTarget } from "../../src/action/parse-target.ts";
import { ACCEPTED, property } from "./property.ts";

interface Table {
  readonly templates: readonly string[];
  /** Indexes of the routes that are served under the host of this request, and those that take its method. */
  readonly served: readonly number[];
  readonly taken: readonly number[];
  readonly path: string;
}

const part = fc.constantFrom("a", "b", "jobs", "{x}", "{y}", "constructor", "__proto__", "A", "a.b");
const template = fc.oneof(
  fc
    .tuple(fc.array(part, { maxLength: 4 }), fc.boolean())
    .map(([parts, rest]) => `/${[...parts, ...(rest ? ["**"] : [])].join("/")}`),
  fc.constantFrom(
    "/",
    "/**",
    "",
    "a",
    "//",
    "/a/",
    "/*",
    "/a/**/b",
    "/{x}/{x}",
    "/..",
    "/.",
    "/{X}",
    "/a%2fb",
    "/{x}b",
    "/***",
  ),
);
const indexes = fc.array(fc.nat(7), { maxLength: 8 });

export const ROUTES = [
  property<Table>({
    name: "routes.most-specific",
    says: "of all templates that match a path the most specific one is chosen, with the parameters that it names",
    inputs: fc.record({
      templates: fc.array(template, { maxLength: 8 }),
      served: fc.oneof(fc.constant([0, 1, 2, 3, 4, 5, 6, 7]), indexes),
      taken: indexes,
      path: fc
        .array(
          fc.constantFrom("a", "b", "jobs", "x", "constructor", "__proto__", "**", "{x}", "a.b", "%C3%A4", "a%2fb", ""),
          {
            maxLength: 5,
          },
        )
        .map((parts) => `/${parts.join("/")}`),
    }),
    check: checkTable,
    runs: 2000,
  }),
];

function checkTable({ templates, served, taken, path }: Table): string {
  const target = parseTarget(path, "h");
  if (!target.ok) return target.error.detail ?? "";
  const { segments } = target.value;
  const routes = templates.flatMap((text, index) => {
    const parsed = parsePathTemplate(text);
    return parsed.ok ? [{ route: index, template: parsed.value }] : [];
  });
  const found = createRouteTable(routes).find(
    segments,
    (route) => served.includes(route),
    (route) => taken.includes(route),
  );

  const matching = routes.filter(
    ({ route, template }) => served.includes(route) && paramsOf(template, segments) !== null,
  );
  const ranked = matching.toSorted((left, right) => compare(left.template, right.template));
  const [best] = ranked;
  if (best === undefined) {
    assert.equal(found, undefined, "a route that matches nothing");
    return "no route";
  }
  const equals = ranked.filter(({ template }) => compare(template, best.template) === 0);
  for (const { template } of equals) assert.ok(templatesClash(template, best.template), "equal right, but no clash");
  const expected = equals.find(({ route }) => taken.includes(route)) ?? equals[0];
  assert.equal(found?.route, expected?.route);
  assert.deepEqual(
    Object.entries(found?.params ?? {}),
    [...(paramsOf((expected ?? best).template, segments) ?? [])].map(([name, value]) => [name, value]),
  );
  return ACCEPTED;
}

/** The parameters of a template for a path, or null where it does not match; read from the template's text. */
function paramsOf(template: PathTemplate, segments: readonly string[]): Map<string, string> | null {
  const parts = template.text.slice(1).split("/");
  const rest = parts.at(-1) === "**";
  const fixed = rest ? parts.slice(0, -1) : parts;
  if (rest ? segments.length < fixed.length : segments.length !== fixed.length) return null;
  const params = new Map<string, string>();
  for (const [at, part] of fixed.entries()) {
    const segment = segments[at] ?? "";
    if (!part.startsWith("{")) {
      if (part !== segment) return null;
    } else if (segment === "") {
      return null; // a trailing slash is no value
    } else {
      params.set(part.slice(1, -1), segment);
    }
  }
  return params;
}

/** Negative where the left one is more specific: the first difference decides. */
function compare(left: PathTemplate, right: PathTemplate): number {
  const ranks = (template: PathTemplate): number[] =>
    template.text
      .slice(1)
      .split("/")
      .map((part) => (part === "**" ? 3 : part.startsWith("{") ? 2 : 1));
  const [a, b] = [ranks(left), ranks(right)];
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    // Whoever ends first and still matches has no `**`: it is the more specific one of the two.
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
