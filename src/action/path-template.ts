// In: the path template of a route, such as `/jobs/{job_id}/candidates/{id}` or `/mcp/**`. Out: a parsed template.
// Matching is by whole decoded segments, so that no pattern language stands between what policy judges and what is sent.
import { err, ok, type Result } from "../lib/result.ts";

export type TemplateSegment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "param"; readonly name: string };

export interface PathTemplate {
  readonly text: string;
  readonly segments: readonly TemplateSegment[];
  /** True where the template ends in `**`, which matches any rest, also none. */
  readonly rest: boolean;
}

/** More segments than any sensible API has; bounds the work of matching. */
export const TEMPLATE_SEGMENTS_MAX = 32;

const PARAM = /^\{([a-z][a-z0-9_]{0,62})\}$/;
/** RFC 3986 pchar without `*`: who writes `/mcp/*` means `**`, and must not get a literal in silence. */
const LITERAL = /^[A-Za-z0-9._~!$&'()+,;=:@-]+$/;

/** Parses a template. The error is a sentence for the person who wrote the configuration. */
export function parsePathTemplate(text: string): Result<PathTemplate, string> {
  if (!text.startsWith("/")) return err("a path starts with `/`");
  // The path `/` is one empty segment, as a trailing slash is; nothing else may match it.
  if (text === "/") return ok({ text, segments: [{ kind: "literal", text: "" }], rest: false });
  const parts = text.slice(1).split("/");
  const rest = parts.at(-1) === "**";
  if (rest) parts.pop();
  if (parts.length > TEMPLATE_SEGMENTS_MAX) return err(`a path has at most ${TEMPLATE_SEGMENTS_MAX} segments`);
  const names = new Set<string>();
  const segments: TemplateSegment[] = [];
  for (const part of parts) {
    const param = PARAM.exec(part)?.[1];
    if (param !== undefined) {
      if (names.has(param)) return err(`the parameter \`${param}\` stands twice in the path`);
      names.add(param);
      segments.push({ kind: "param", name: param });
    } else if (part === "" || part === "." || part === ".." || !LITERAL.test(part)) {
      return err(`\`${part}\` is not a path segment; write plain text, \`{name}\`, or \`**\` at the end`);
    } else {
      segments.push({ kind: "literal", text: part });
    }
  }
  return ok({ text, segments, rest });
}

/**
 * Whether two templates can match one path with equal right, so that neither is the more specific one.
 * A literal is more specific than a parameter, a parameter than `**`; the first difference decides.
 */
export function templatesClash(a: PathTemplate, b: PathTemplate): boolean {
  return (
    a.rest === b.rest &&
    a.segments.length === b.segments.length &&
    a.segments.every((segment, index) => {
      const other = b.segments[index];
      if (other === undefined || segment.kind !== other.kind) return false;
      return segment.kind === "param" || (other.kind === "literal" && segment.text === other.text);
    })
  );
}
