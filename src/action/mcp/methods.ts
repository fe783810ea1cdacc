// In: nothing. Out: the closed table of what an MCP client may send, for each version that is spoken here.
// Data, with its source for each row, so that a requirement list can be a test. What is not in it is denied.

export const MCP_VERSIONS = ["2025-11-25", "2026-07-28"] as const;
export type McpVersion = (typeof MCP_VERSIONS)[number];

/** The version that opens a session with `initialize`, has GET and DELETE, and lets a client answer its server. */
export const SESSION_VERSION: McpVersion = "2025-11-25";

/**
 * What a message is to a policy. Every class is judged: an agent without a right to a server must not open a session on
 * it, keep one busy or listen to it. What the default policy asks of `lifecycle`, `notification`, `reply`, `session` and
 * `list` is only the right to the server; of `use`, the right to the item that is named.
 */
export type McpClass = "lifecycle" | "notification" | "reply" | "session" | "list" | "setting" | "listen" | "use";

export type McpItemKind = "tool" | "prompt" | "resource" | "task";

/** A list in a result: the member that holds it, and the member of each item that names it. */
export interface McpList {
  readonly kind: "tools" | "prompts" | "resources" | "resource_templates";
  readonly member: string;
  readonly key: string;
}

export const MCP_LISTS = {
  tools: { kind: "tools", member: "tools", key: "name" },
  prompts: { kind: "prompts", member: "prompts", key: "name" },
  resources: { kind: "resources", member: "resources", key: "uri" },
  templates: { kind: "resource_templates", member: "resourceTemplates", key: "uriTemplate" },
} as const satisfies Record<string, McpList>;

export interface McpMethod {
  readonly name: string;
  readonly kind: "request" | "notification";
  readonly class: McpClass;
  /** What is named, and the member of `params` that names it; `ref` is completion's own union. */
  readonly item?: { readonly kind: McpItemKind; readonly member: "name" | "uri" | "taskId" } | "ref";
  /** `Mcp-Name` must be there (2026-07-28 only). */
  readonly nameRequired?: true;
  /**
   * The members of `params` beside the name: `arguments` go to the policy as such, `seen` as `action.params`, `opaque`
   * are the server's own words on their way back. Absent: all of `params` are the arguments.
   */
  readonly members?: { readonly seen: readonly string[]; readonly opaque: readonly string[] };
  readonly list?: McpList;
  readonly source: string;
}

const SCHEMA_2025 = "schema/2025-11-25/schema.ts, ClientRequest and ClientNotification";
const SCHEMA_2026 = "schema/2026-07-28/schema.ts, ClientRequest and ClientNotification";

const TOOL = { kind: "tool", member: "name" } as const;
const PROMPT = { kind: "prompt", member: "name" } as const;
const RESOURCE = { kind: "resource", member: "uri" } as const;
const TASK = { kind: "task", member: "taskId" } as const;
/** Multi round-trip requests: what a user answered is judged, the server's `requestState` is passed on unread. */
const ROUND_TRIP = { seen: ["inputResponses"], opaque: ["requestState"] };

type Row = Omit<McpMethod, "name" | "kind" | "source">;

function rows(
  source: string,
  requests: Readonly<Record<string, Row>>,
  notifications: readonly string[],
): readonly McpMethod[] {
  return [
    ...Object.entries(requests).map(([name, row]) => ({ name, kind: "request" as const, ...row, source })),
    ...notifications.map((name) => ({ name, kind: "notification" as const, class: "notification" as const, source })),
  ];
}

const LISTS: Readonly<Record<string, Row>> = {
  "tools/list": { class: "list", list: MCP_LISTS.tools },
  "prompts/list": { class: "list", list: MCP_LISTS.prompts },
  "resources/list": { class: "list", list: MCP_LISTS.resources },
  "resources/templates/list": { class: "list", list: MCP_LISTS.templates },
  "completion/complete": { class: "use", item: "ref" },
};

export const MCP_METHODS: Readonly<Record<McpVersion, readonly McpMethod[]>> = {
  "2025-11-25": rows(
    SCHEMA_2025,
    {
      initialize: { class: "lifecycle" },
      ping: { class: "lifecycle" },
      ...LISTS,
      "tools/call": { class: "use", item: TOOL, members: { seen: ["task"], opaque: [] } },
      "prompts/get": { class: "use", item: PROMPT, members: { seen: [], opaque: [] } },
      "resources/read": { class: "use", item: RESOURCE },
      "resources/subscribe": { class: "use", item: RESOURCE },
      "resources/unsubscribe": { class: "use", item: RESOURCE },
      "logging/setLevel": { class: "setting" },
      "tasks/list": { class: "use" },
      "tasks/get": { class: "use", item: TASK },
      "tasks/result": { class: "use", item: TASK },
      "tasks/cancel": { class: "use", item: TASK },
    },
    [
      "notifications/initialized",
      "notifications/cancelled",
      "notifications/progress",
      "notifications/roots/list_changed",
      "notifications/tasks/status",
    ],
  ),
  "2026-07-28": rows(
    SCHEMA_2026,
    {
      "server/discover": { class: "lifecycle" },
      ...LISTS,
      "tools/call": { class: "use", item: TOOL, nameRequired: true, members: ROUND_TRIP },
      "prompts/get": { class: "use", item: PROMPT, nameRequired: true, members: ROUND_TRIP },
      "resources/read": { class: "use", item: RESOURCE, nameRequired: true },
      "subscriptions/listen": { class: "listen" },
    },
    ["notifications/cancelled"],
  ),
};

const TABLES: Readonly<Record<McpVersion, ReadonlyMap<string, McpMethod>>> = {
  "2025-11-25": new Map(MCP_METHODS["2025-11-25"].map((method) => [method.name, method])),
  "2026-07-28": new Map(MCP_METHODS["2026-07-28"].map((method) => [method.name, method])),
};

/** Undefined where this version has no such message; a request that is sent as a notification is another message. */
export function findMethod(version: McpVersion, name: string, kind: McpMethod["kind"]): McpMethod | undefined {
  const method = TABLES[version].get(name);
  return method?.kind === kind ? method : undefined;
}

export function isMcpVersion(text: string): text is McpVersion {
  return (MCP_VERSIONS as readonly string[]).includes(text);
}
