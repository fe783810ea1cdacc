// In: the arguments of a call and the schema that its tool was pinned with. Out: null, or which keyword they do not fit.
// Trusts: neither. The schema is a stranger's text: it is interpreted here, within a count of steps, and never made into
// code, compiled to a regular expression or followed to another document.
//
// JSON Schema 2020-12. Keywords that are not evaluated here (`pattern`, `patternProperties`, `format`, `contains`,
// `dependentSchemas`, `unevaluated*`, `$dynamicRef`, malformed ones) make the answer "unknown" and not "yes", so that
// `not`, `oneOf` and `if` around them refuse nothing by mistake. What is refused surely does not fit; what is unknown passes.
import { isObject } from "../../lib/strict-json.ts";

const NO = 0;
const UNKNOWN = 1;
const YES = 2;
type Answer = typeof NO | typeof UNKNOWN | typeof YES;
type Schema = Readonly<Record<string, unknown>>;

/** Some 100 ms at worst, within the budget of a policy's evaluation; a real call takes hundreds, 60,000 plain numbers 200,000. */
export const STEPS_MAX = 250_000;
/** References that lead to themselves are no schema that an argument could fit. */
const DEPTH_MAX = 128;
/** Characters of a text that cost one step. */
const CHARACTERS_A_STEP = 16;

const NOT_EVALUATED = new Set([
  "pattern",
  "format",
  "patternProperties",
  "contains",
  "minContains",
  "maxContains",
  "dependentSchemas",
  "dependencies",
  "unevaluatedItems",
  "unevaluatedProperties",
  "$dynamicRef",
  "$recursiveRef",
]);

class TooCostly extends Error {}

/** The text tells of the schema alone, never of a value. */
export function checkArguments(schema: unknown, value: unknown): string | null {
  const check = new Check(schema);
  try {
    return check.fits(schema, value, "") === NO ? check.fault : null;
  } catch (error) {
    // No answer within bounds is no yes.
    if (error instanceof TooCostly) return "the schema takes too many steps";
    throw error;
  }
}

class Check {
  /** JSON pointer of the keyword that failed first. */
  fault = "";
  readonly #root: unknown;
  #steps = 0;
  #depth = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  fits(schema: unknown, value: unknown, at: string): Answer {
    this.#spend(1);
    if (schema === true) return YES;
    if (schema === false) return this.#no(at === "" ? "false" : at);
    if (!isObject(schema)) return UNKNOWN;
    if (this.#depth >= DEPTH_MAX) throw new TooCostly();
    this.#depth += 1;
    let answer: Answer = YES;
    const keywords = Object.keys(schema);
    // Before the first of them ends it: all were listed.
    this.#spend(keywords.length);
    for (const keyword of keywords) {
      const one = this.#keyword(keyword, schema, value, `${at}/${keyword}`);
      if (one < answer) answer = one;
      if (answer === NO) break;
    }
    this.#depth -= 1;
    return answer;
  }

  #keyword(keyword: string, schema: Schema, value: unknown, at: string): Answer {
    const given = schema[keyword];
    if (NOT_EVALUATED.has(keyword)) return UNKNOWN;
    if (Array.isArray(given)) this.#spend(given.length);
    switch (keyword) {
      case "$ref":
        return this.#ref(given, value, at);
      case "type":
        return this.#test(at, isTypes(given), () => typesOf(given).some((type) => isType(type, value)));
      case "const":
        return this.#test(at, true, () => this.#equal(given, value));
      case "enum":
        return this.#test(at, Array.isArray(given), () => (given as unknown[]).some((one) => this.#equal(one, value)));
      case "allOf":
        return Array.isArray(given)
          ? this.#every(given.map((one, n) => () => this.fits(one, value, `${at}/${n}`)))
          : UNKNOWN;
      case "anyOf":
      case "oneOf":
        return Array.isArray(given) ? this.#some(given, value, at, keyword === "oneOf") : UNKNOWN;
      case "not": {
        const inner = this.#quietly(() => this.fits(given, value, at));
        return inner === YES ? this.#no(at) : inner === NO ? YES : UNKNOWN;
      }
      case "if":
        return this.#condition(schema, value, at.slice(0, -"/if".length));
    }
    if (typeof value === "number") return this.#number(keyword, given, value, at);
    if (typeof value === "string") return this.#string(keyword, given, value, at);
    if (Array.isArray(value)) return this.#array(keyword, schema, value, at);
    return isObject(value) ? this.#object(keyword, schema, value, at) : YES;
  }

  #number(keyword: string, given: unknown, value: number, at: string): Answer {
    const isNumber = typeof given === "number";
    const limit = isNumber ? given : 0;
    switch (keyword) {
      case "minimum":
        return this.#test(at, isNumber, () => value >= limit);
      case "maximum":
        return this.#test(at, isNumber, () => value <= limit);
      case "exclusiveMinimum":
        return this.#test(at, isNumber, () => value > limit);
      case "exclusiveMaximum":
        return this.#test(at, isNumber, () => value < limit);
      case "multipleOf":
        return this.#test(at, limit > 0, () => Number.isInteger(value / limit));
      default:
        return YES;
    }
  }

  #string(keyword: string, given: unknown, value: string, at: string): Answer {
    if (keyword !== "minLength" && keyword !== "maxLength") return YES;
    if (!isCount(given)) return UNKNOWN;
    this.#spend(value.length / CHARACTERS_A_STEP);
    let length = 0;
    // In code points, as RFC 8259 counts characters.
    for (const _ of value) length += 1;
    return this.#test(at, true, () => (keyword === "minLength" ? length >= given : length <= given));
  }

  #array(keyword: string, schema: Schema, value: readonly unknown[], at: string): Answer {
    const given = schema[keyword];
    this.#spend(value.length);
    switch (keyword) {
      case "minItems":
        return this.#test(at, isCount(given), () => value.length >= Number(given));
      case "maxItems":
        return this.#test(at, isCount(given), () => value.length <= Number(given));
      case "uniqueItems":
        return given === true ? this.#test(at, true, () => this.#isUnique(value)) : given === false ? YES : UNKNOWN;
      case "prefixItems":
        if (!Array.isArray(given)) return UNKNOWN;
        return this.#every(
          value.slice(0, given.length).map((item, n) => () => this.fits(given[n], item, `${at}/${n}`)),
        );
      case "items": {
        const prefix = schema["prefixItems"];
        if (prefix !== undefined && !Array.isArray(prefix)) return UNKNOWN;
        return this.#every(value.slice(prefix?.length ?? 0).map((item) => () => this.fits(given, item, at)));
      }
      default:
        return YES;
    }
  }

  #object(keyword: string, schema: Schema, value: Schema, at: string): Answer {
    const given = schema[keyword];
    const names = Object.keys(value);
    this.#spend(names.length);
    switch (keyword) {
      case "required":
        return this.#test(at, isTexts(given), () => (given as string[]).every((name) => Object.hasOwn(value, name)));
      case "minProperties":
        return this.#test(at, isCount(given), () => names.length >= Number(given));
      case "maxProperties":
        return this.#test(at, isCount(given), () => names.length <= Number(given));
      case "properties":
        if (!isObject(given)) return UNKNOWN;
        return this.#every(
          names
            .filter((name) => Object.hasOwn(given, name))
            .map((name) => () => this.fits(given[name], value[name], `${at}/${name}`)),
        );
      case "propertyNames":
        return this.#every(names.map((name) => () => this.fits(given, name, at)));
      case "dependentRequired":
        if (!isObject(given) || !this.#areTexts(Object.values(given))) return UNKNOWN;
        return this.#test(at, true, () =>
          Object.entries(given as Record<string, string[]>).every(
            ([name, others]) => !Object.hasOwn(value, name) || others.every((other) => Object.hasOwn(value, other)),
          ),
        );
      case "additionalProperties": {
        const named = schema["properties"] ?? {};
        if (!isObject(named)) return UNKNOWN;
        const others = names.filter((name) => !Object.hasOwn(named, name));
        if (others.length === 0) return YES;
        // Which of them a pattern takes is not known here.
        if (schema["patternProperties"] !== undefined) return UNKNOWN;
        return this.#every(others.map((name) => () => this.fits(given, value[name], at)));
      }
      default:
        return YES;
    }
  }

  /** Only within the document, by JSON pointer. */
  #ref(given: unknown, value: unknown, at: string): Answer {
    if (typeof given !== "string" || !/^#(?:\/|$)/.test(given)) return UNKNOWN;
    this.#spend(given.length / CHARACTERS_A_STEP);
    let target: unknown = this.#root;
    for (const part of given.split("/").slice(1)) {
      const name = decode(part);
      if (name === null || typeof target !== "object" || target === null || !Object.hasOwn(target, name))
        return UNKNOWN;
      target = (target as Schema)[name];
    }
    return this.fits(target, value, at);
  }

  #some(schemas: readonly unknown[], value: unknown, at: string, one: boolean): Answer {
    let yes = 0;
    let unknown = 0;
    for (const schema of schemas) {
      const answer = this.#quietly(() => this.fits(schema, value, at));
      if (answer === YES) yes += 1;
      else if (answer === UNKNOWN) unknown += 1;
      if (one ? yes > 1 : yes > 0) break;
    }
    if (one && yes > 1) return this.#no(at);
    if (yes > 0) return one && unknown > 0 ? UNKNOWN : YES;
    return unknown > 0 ? UNKNOWN : this.#no(at);
  }

  #condition(schema: Schema, value: unknown, at: string): Answer {
    const chosen = this.#quietly(() => this.fits(schema["if"], value, at));
    const branch = (keyword: "then" | "else"): Answer =>
      keyword in schema ? this.fits(schema[keyword], value, `${at}/${keyword}`) : YES;
    if (chosen === YES) return branch("then");
    if (chosen === NO) return branch("else");
    const both = [this.#quietly(() => branch("then")), this.#quietly(() => branch("else"))];
    if (both.every((answer) => answer === NO)) return this.#no(`${at}/if`);
    return both.every((answer) => answer === YES) ? YES : UNKNOWN;
  }

  #every(checks: readonly (() => Answer)[]): Answer {
    let answer: Answer = YES;
    for (const check of checks) {
      const one = check();
      if (one < answer) answer = one;
      if (answer === NO) break;
    }
    return answer;
  }

  /** `known`: the keyword is well formed. */
  #test(at: string, known: boolean, holds: () => boolean): Answer {
    if (!known) return UNKNOWN;
    return holds() ? YES : this.#no(at);
  }

  #no(at: string): Answer {
    if (this.fault === "") this.fault = at;
    return NO;
  }

  /** What fails inside is not what fails. */
  #quietly(run: () => Answer): Answer {
    const before = this.fault;
    const answer = run();
    this.fault = before;
    return answer;
  }

  #isUnique(items: readonly unknown[]): boolean {
    return items.every((item, n) => !items.slice(0, n).some((before) => this.#equal(before, item)));
  }

  #equal(a: unknown, b: unknown): boolean {
    this.#spend(1);
    if (typeof a === "string" && typeof b === "string") {
      this.#spend(Math.min(a.length, b.length) / CHARACTERS_A_STEP);
      return a === b;
    }
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    const names = Object.keys(a);
    const others = Object.keys(b).length;
    this.#spend(names.length + others);
    if (names.length !== others) return false;
    return names.every((name) => Object.hasOwn(b, name) && this.#equal((a as Schema)[name], (b as Schema)[name]));
  }

  #areTexts(lists: readonly unknown[]): boolean {
    // Also of lists that are none: to look at them is the cost.
    this.#spend(lists.length);
    for (const list of lists) if (Array.isArray(list)) this.#spend(list.length);
    return lists.every(isTexts);
  }

  #spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > STEPS_MAX) throw new TooCostly();
  }
}

const TYPES = new Set(["null", "boolean", "object", "array", "number", "integer", "string"]);

function isType(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function typesOf(given: unknown): readonly string[] {
  return Array.isArray(given) ? (given as string[]) : [given as string];
}

function isTypes(given: unknown): boolean {
  return typesOf(given).every((type) => TYPES.has(type));
}

function isTexts(given: unknown): boolean {
  return Array.isArray(given) && given.every((one) => typeof one === "string");
}

function isCount(given: unknown): given is number {
  return typeof given === "number" && given >= 0 && Number.isInteger(given);
}

/** RFC 6901 sections 3 and 6; null where it is not well formed. */
function decode(part: string): string | null {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return null;
  }
}
