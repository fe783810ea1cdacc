// In: a canonical path and the parsed templates of all routes. Out: the one route that matches, with its parameters.
// The most specific template wins, segment by segment: literal before parameter before `**`.
import type { PathTemplate } from "./path-template.ts";

export interface RouteMatch<R> {
  readonly route: R;
  readonly params: Readonly<Record<string, string>>;
}

interface Node<R> {
  readonly literals: Map<string, Node<R>>;
  param: Node<R> | undefined;
  ends: Leaf<R>[];
  rests: Leaf<R>[];
}

interface Leaf<R> {
  readonly route: R;
  readonly template: PathTemplate;
}

export interface RouteTable<R> {
  /** All routes of the most specific matching template; they differ by host or method. Empty where none matches. */
  find(segments: readonly string[]): readonly RouteMatch<R>[];
}

function emptyNode<R>(): Node<R> {
  return { literals: new Map(), param: undefined, ends: [], rests: [] };
}

function paramsOf(template: PathTemplate, segments: readonly string[]): Record<string, string> {
  const params: Record<string, string> = Object.create(null) as Record<string, string>;
  template.segments.forEach((segment, index) => {
    if (segment.kind === "param") params[segment.name] = segments[index] ?? "";
  });
  return params;
}

/** Builds the table once at start; `find` costs one map look-up a segment. */
export function createRouteTable<R>(routes: readonly { route: R; template: PathTemplate }[]): RouteTable<R> {
  const root = emptyNode<R>();
  for (const leaf of routes) {
    let node = root;
    for (const segment of leaf.template.segments) {
      if (segment.kind === "param") {
        node.param ??= emptyNode();
        node = node.param;
      } else {
        let next = node.literals.get(segment.text);
        if (next === undefined) {
          next = emptyNode();
          node.literals.set(segment.text, next);
        }
        node = next;
      }
    }
    (leaf.template.rest ? node.rests : node.ends).push(leaf);
  }

  function walk(node: Node<R>, segments: readonly string[], depth: number): readonly Leaf<R>[] {
    const segment = segments[depth];
    if (segment === undefined) return node.ends.length > 0 ? node.ends : node.rests;
    const literal = node.literals.get(segment);
    if (literal !== undefined) {
      const found = walk(literal, segments, depth + 1);
      if (found.length > 0) return found;
    }
    // An empty segment is a trailing slash; it is never the value of a parameter.
    if (node.param !== undefined && segment !== "") {
      const found = walk(node.param, segments, depth + 1);
      if (found.length > 0) return found;
    }
    return node.rests;
  }

  return {
    find: (segments) =>
      walk(root, segments, 0).map((leaf) => ({ route: leaf.route, params: paramsOf(leaf.template, segments) })),
  };
}
