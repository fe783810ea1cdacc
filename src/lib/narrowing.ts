// In: what a parent may do and what its child asks for. Out: whether the child's part is the same or narrower.
// Pure. Everything in constraints and details is a restriction, and all of them hold at once: so one more is narrower,
// one less is wider, and a change that is not known to narrow is refused.
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";
import { isObject } from "./strict-json.ts";

/** Nesting of a constraint or detail: that of a token's JSON (strict-json.ts). What is deeper is refused. */
const DEPTH_MAX = 16;
const PART = "[A-Za-z0-9._~-]+";
const SCOPE = new RegExp(`^${PART}:${PART}:(?:\\*|${PART})$`);

/** `action:resource:identifier`, three non-empty parts; only the identifier may be `*`. */
export function isScope(text: string): boolean {
  return SCOPE.test(text);
}

/** Part by part: action and resource are equal, the identifier is equal or the wider one's is `*`. */
export function coversScope(wider: string, narrower: string): boolean {
  if (!isScope(wider) || !isScope(narrower)) return false;
  const [action, resource, identifier] = wider.split(":");
  const [narrowAction, narrowResource, narrowIdentifier] = narrower.split(":");
  if (action !== narrowAction || resource !== narrowResource) return false;
  return identifier === "*" || identifier === narrowIdentifier;
}

/** The child's scopes, each once; or the first that no scope of the parent covers. None at all is the narrowest. */
export function narrowScopes(parent: readonly string[], child: readonly string[]): Result<readonly string[], string> {
  for (const scope of child) if (!parent.some((wider) => coversScope(wider, scope))) return err(scope);
  return ok([...new Set(child)]);
}

/** The name of the first constraint of the parent that the child lacks or widens. The child may add others. */
export function narrowConstraints(
  parent: Readonly<Record<string, unknown>>,
  child: Readonly<Record<string, unknown>>,
): Result<Readonly<Record<string, unknown>>, string> {
  for (const name of Object.keys(parent)) {
    if (!Object.hasOwn(child, name) || !isNarrower(parent[name], child[name])) return err(name);
  }
  return ok(child);
}

/** RFC 9396: each entry of the child is covered by one of the parent with the same `type`; or the first that is not. */
export function narrowDetails(
  parent: readonly unknown[],
  child: readonly unknown[],
): Result<readonly unknown[], { readonly index: number }> {
  for (const [index, entry] of child.entries()) {
    const type = typeOf(entry);
    const covered = type !== undefined && parent.some((wider) => typeOf(wider) === type && isNarrower(wider, entry));
    if (!covered) return err({ index });
  }
  return ok(child);
}

/**
 * The rule for one JSON value. A scalar stays. A list of scalars means "one of": a part of it, or one member, is
 * narrower. In an object `max` may fall, `min` may rise, every other member follows the rule itself, and none is lost.
 * Anything else must be equal.
 */
export function isNarrower(parent: unknown, child: unknown): boolean {
  return isNarrowerAt(parent, child, 0);
}

function isNarrowerAt(parent: unknown, child: unknown, depth: number): boolean {
  if (depth > DEPTH_MAX) return false;
  if (isScalar(parent)) return parent === child;
  if (Array.isArray(parent)) {
    if (parent.length === 0 || !parent.every(isScalar)) return isEqual(parent, child, depth);
    const choices = new Set<unknown>(parent);
    if (Array.isArray(child)) return child.length > 0 && child.every((member) => choices.has(member));
    return choices.has(child);
  }
  if (!isObject(parent) || !isObject(child)) return false;
  return Object.keys(parent).every(
    (name) => Object.hasOwn(child, name) && isNarrowerMember(name, parent[name], child[name], depth),
  );
}

function isNarrowerMember(name: string, parent: unknown, child: unknown, depth: number): boolean {
  if ((name !== "max" && name !== "min") || (typeof parent !== "number" && typeof child !== "number")) {
    return isNarrowerAt(parent, child, depth + 1);
  }
  // A bound that was a choice before could move on from there: it neither becomes a number nor ceases to be one.
  if (typeof parent !== "number" || typeof child !== "number") return false;
  // `1e400` is read as infinite and written as `null`: in a token it would be no bound at all.
  if (!Number.isFinite(child)) return false;
  return name === "max" ? child <= parent : child >= parent;
}

/** Members in any order, items in theirs. */
function isEqual(left: unknown, right: unknown, depth: number): boolean {
  if (depth > DEPTH_MAX) return false;
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => isEqual(item, right[index], depth + 1));
  }
  if (!isObject(left)) return left === right;
  const names = Object.keys(left);
  if (!isObject(right) || Object.keys(right).length !== names.length) return false;
  return names.every((name) => Object.hasOwn(right, name) && isEqual(left[name], right[name], depth + 1));
}

function isScalar(value: unknown): value is string | number | boolean | null {
  return value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

function typeOf(entry: unknown): string | undefined {
  return isObject(entry) && Object.hasOwn(entry, "type") && typeof entry["type"] === "string" && entry["type"] !== ""
    ? entry["type"]
    : undefined;
}
