// In: nothing; types only. Out: one operation of an OpenAPI document, as the configuration room reads it at start.
// Plain data: it is read once, and each data thread gets the same copy.
import type { TemplateSegment } from "../path-template.ts";

export interface ApiOperation {
  /** `input.action.tool`: the `operationId`, or `METHOD /path`. */
  readonly name: string;
  readonly method: string;
  /** As the document writes it. */
  readonly path: string;
  /** As agents call it: with what stands before the document's own paths. */
  readonly segments: readonly TemplateSegment[];
  readonly parameters: readonly ApiParameter[];
  /** Undefined where no JSON body is described. */
  readonly body: ApiBody | undefined;
  /** Whether the members of the body stand beside the parameters, or the whole body under `body`. */
  readonly bodyMembers: "beside" | "nested";
}

export interface ApiParameter {
  readonly in: "path" | "query" | "header";
  /** A header's in lower case. */
  readonly name: string;
  readonly required: boolean;
  /** What its text is read as; of a list, each item of it. */
  readonly type: "string" | "integer" | "number" | "boolean";
  /** A list of at most one item, since no query names a parameter twice here. */
  readonly list: boolean;
  /** With all that its references need. */
  readonly schema: unknown;
}

export interface ApiBody {
  readonly required: boolean;
  /** By media type, in lower case and without parameters; also `application/*` and `*` + `/*`. */
  readonly content: readonly { readonly type: string; readonly schema: unknown }[];
}
