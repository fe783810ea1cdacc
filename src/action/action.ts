// In: nothing; types only. Out: what is asked, and of what, as policy sees it (design section 4).

/** `input.action`. `arguments` is the parsed JSON body, or null where there is none or it is not inspected. */
export interface Action {
  readonly kind: "http";
  readonly method: string;
  readonly tool: string;
  readonly arguments: unknown;
  readonly http: { readonly method: string };
}

/** `input.resource`: the route's declared attributes with the path parameters of this request. */
export interface Resource {
  readonly route: string;
  readonly type: string;
  readonly classification: string;
  readonly owner: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly params: Readonly<Record<string, string>>;
  readonly host: string;
  /** Decoded path segments. */
  readonly path: readonly string[];
  /** Decoded query parameters; each name occurs once. */
  readonly query: Readonly<Record<string, string>>;
}

/** `input.environment`. `time` is RFC 3339 in UTC with milliseconds; it is the only clock a policy has. */
export interface Environment {
  readonly time: string;
  readonly source_ip: string;
  readonly gateway: string;
}
