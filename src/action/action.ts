// In: nothing; types only. Out: what is asked, and of what, as policy sees it (design section 4).

/** `input.action`. `arguments` is the parsed JSON body, or null where there is none or it is not inspected. */
export interface HttpAction {
  readonly kind: "http";
  readonly method: string;
  readonly tool: string;
  readonly arguments: unknown;
  readonly http: { readonly method: string };
}

/** The same on a route of kind `mcp`: one message, read from its body. */
export interface McpMessageAction {
  readonly kind: "mcp";
  /** Of the closed table in `mcp/methods.ts`. */
  readonly class: "lifecycle" | "notification" | "reply" | "session" | "list" | "setting" | "listen" | "use";
  /** The message's own, such as `tools/call`. */
  readonly method: string;
  /** At most one of the four, where the message names one. */
  readonly tool?: string;
  readonly prompt?: string;
  readonly resource?: string;
  readonly task?: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** Further members of the message that say what is to be done, such as `inputResponses`. */
  readonly params?: Readonly<Record<string, unknown>>;
  readonly protocol_version: "2025-11-25" | "2026-07-28";
  /** The `server` attribute of the route's resource, or the route's name. */
  readonly server: string;
  readonly http: { readonly method: string };
}

export type Action = HttpAction | McpMessageAction;

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
