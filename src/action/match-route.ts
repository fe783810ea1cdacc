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
  /**
   * Of the routes that `accepts` takes (those served under this host), the ones of the most specific matching template:
   * the first one that `prefers` takes (its methods), else the first. Undefined where none matches.
   */
  find(
    segments: readonly string[],
    accepts: (route: R) => boolean,
    prefers: (route: R) => boolean,
  ): RouteMatch<R> | undefined;
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

  return {
    find(segments, accepts, prefers) {
      const choose = (leaves: readonly Leaf<R>[]): Leaf<R> | undefined => {
        let chosen: Leaf<R> | undefined;
        for (const leaf of leaves) {
          if (!accepts(leaf.route)) continue;
          if (prefers(leaf.route)) return leaf;
          chosen ??= leaf;
        }
        return chosen;
      };
      const walk = (node: Node<R>, depth: number): Leaf<R> | undefined => {
        const segment = segments[depth];
        if (segment === undefined) return choose(node.ends) ?? choose(node.rests);
        const literal = node.literals.get(segment);
        // An empty segment is a trailing slash; it is never the value of a parameter.
        return (
          (literal === undefined ? undefined : walk(literal, depth + 1)) ??
          (node.param === undefined || segment === "" ? undefined : walk(node.param, depth + 1)) ??
          choose(node.rests)
        );
      };
      const leaf = walk(root, 0);
      return leaf === undefined ? undefined : { route: leaf.route, params: paramsOf(leaf.template, segments) };
    },
  };
}
