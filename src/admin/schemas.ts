// In: nothing. Out: the JSON Schemas of the operators' API; the OpenAPI document is made from them.
// Every shape is closed: an unknown member of a request is an error, and no answer says more than stands here.
import { TOOL_NAME_CHARACTERS_MAX } from "../action/mcp/tool-definition.ts";
import { LEVELS, MODES, REASON_CHARS_MAX, DRAIN_S_MAX, ID_CHARS_MAX } from "../containment/validate-change.ts";
import { APPLICATION_NAME } from "../lib/application-schema.ts";
import { OPERATOR_NAME, ROLES } from "./operators.ts";

type Schema = Record<string, unknown>;

const text = { type: "string" };
const whole = { type: "integer" };
const number = { type: "number" };
const yes = { type: "boolean" };
const time = { type: "string", description: "RFC 3339, UTC" };

export function list(items: Schema): Schema {
  return { type: "array", items };
}

export function shape(properties: Record<string, Schema>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", additionalProperties: false, required, properties };
}

const level = { type: "string", enum: LEVELS };
const reason = { type: "string", minLength: 1, maxLength: REASON_CHARS_MAX };
const id = { type: "string", minLength: 1, maxLength: ID_CHARS_MAX };

export const LEVEL_PARAMS = shape({ level });
export const NAME_PARAMS = shape({ name: { type: "string", pattern: OPERATOR_NAME.source } });
export const EMPTY_BODY = shape({});
export const CONTAIN_BODY = shape(
  { id, mode: { type: "string", enum: MODES }, reason, drain_s: { type: "integer", minimum: 1, maximum: DRAIN_S_MAX } },
  ["drain_s"],
);
export const RELEASE_BODY = shape({ id, reason });
export const OPERATOR_BODY = shape({
  name: { type: "string", pattern: OPERATOR_NAME.source },
  role: { type: "string", enum: ROLES },
});
export const POLICY_DATA_BODY = { type: "object", description: "The whole data document.", additionalProperties: true };
export const HISTORY_QUERY = shape(
  {
    limit: { type: "string", pattern: "^(?:[1-9][0-9]{0,2}|1000)$", description: "1 to 1000; default 100." },
    before_epoch: { type: "string", pattern: "^[0-9]{1,10}$", description: "Only older changes than this one." },
  },
  ["limit", "before_epoch"],
);

const containment = {
  level,
  id: text,
  mode: { type: "string", enum: MODES },
  drain_until: time,
  reason: text,
  by: text,
  at: time,
};
export const CONTAINMENT = shape(containment, ["drain_until"]);
export const CONTAINMENTS = shape({ epoch: whole, entries: list(CONTAINMENT) });
export const HISTORY = shape({
  changes: list(
    shape({ epoch: whole, ...containment, mode: { type: "string", enum: ["active", ...MODES] } }, ["drain_until"]),
  ),
});
export const APPLIED = shape({
  epoch: whole,
  entry: { anyOf: [CONTAINMENT, { type: "null" }] },
  threads: list(shape({ id: whole, outcome: { type: "string", enum: ["acknowledged", "replaced"] } })),
  took_ms: number,
});

export const READY = shape({ ready: yes, reasons: list(text) });
export const HEALTH = shape({ alive: yes });
export const CONFIG = { type: "object", additionalProperties: true };

const revision = { anyOf: [shape({ bundle: text, data: text }), { type: "null" }] };
export const STATUS = shape({
  version: text,
  started_at: time,
  uptime_s: number,
  ready: yes,
  reasons: list(text),
  draining: yes,
  listeners: list(shape({ name: text, url: text })),
  threads: list(shape({ id: whole, state: text, exchanges: whole, open_streams: whole, epoch: whole })),
  policy: revision,
  containment: shape({ epoch: whole, blocked: whole, quarantined: whole, draining: whole }),
  replay: shape({ used: whole, slots: whole }),
  audit: shape({ healthy: yes, detail: text }),
  issuer: { anyOf: [shape({ running: yes }), { type: "null" }] },
  clock_drift_ms: number,
});
export const POLICY = shape({ bundle: text, data: text, source: text, loaded_at: time, last_error: text }, [
  "last_error",
]);
export const AGENTS = shape({
  agents: list(
    shape({
      id: text,
      task: text,
      chain: text,
      principal: text,
      key_thumbprint: text,
      last_seen: time,
      exchanges: whole,
      mode: { type: "string", enum: ["active", ...MODES] },
    }),
  ),
});

const key = {
  kid: text,
  state: { type: "string", enum: ["next", "active", "retired"] },
  since: time,
  next_change: time,
};
export const KEY = shape(key);
export const KEYS = shape({ keys: list(KEY) });

/** The issuer judges it: its schema is the one of the configuration file. */
export const ANY_BODY = { type: "object", additionalProperties: true };
export const REASON_BODY = shape({ reason });
export const APPLICATION_PARAMS = shape({ name: { type: "string", pattern: APPLICATION_NAME.source } });
const application = {
  name: text,
  source: { type: "string", enum: ["config", "operator"] },
  keys: whole,
  created_at: time,
  updated_at: time,
};
export const APPLICATION = shape(application);
export const APPLICATIONS = shape({ applications: list(APPLICATION) });
export const APPLICATION_SHOWN = shape({ ...application, definition: { type: "object", additionalProperties: true } });
export const APPLICATION_REMOVED = shape({ name: text, agents: whole, enforced: yes });

export const REVOKED = shape({ level, id: text, agents: whole, until: time, enforced: yes });

const tool = {
  name: text,
  state: { type: "string", enum: ["pinned", "new", "changed", "vanished"] },
  pinned: { ...text, description: "SHA-256 of its canonical JSON; empty where nothing is pinned." },
  seen: text,
  by: text,
  at: time,
};
export const TOOL_SERVERS = shape({
  servers: list(
    shape({
      route: text,
      pin: { type: "string", enum: ["first_use", "accepted_only"] },
      on_drift: { type: "string", enum: ["block", "log"] },
      complete: yes,
      tools: list(shape(tool)),
    }),
  ),
});
export const TOOLS_WAITING = shape({
  tools: list(shape({ ...tool, pinned_definition: text, seen_definition: text })),
});
export const TOOLS_ACCEPTED = shape({ accepted: list(text) });
export const ROUTE_PARAMS = shape({ route: { type: "string", minLength: 1, maxLength: 63 } });
export const ACCEPT_BODY = shape(
  {
    reason,
    tool: { type: "string", minLength: 1, maxLength: TOOL_NAME_CHARACTERS_MAX },
    digest: { type: "string", pattern: "^[0-9a-f]{64}$" },
  },
  ["tool", "digest"],
);

/** `<issuer> <session.id>`, or a task's id, its principal's issuer, and `type:id`; each part has at most as many characters. */
const labelled = { type: "string", minLength: 1, maxLength: 4 * ID_CHARS_MAX };
export const LABELS = shape({
  sessions: list(shape({ chain: text, task: text, labels: list(text), by: text, at: time, until: time })),
});
export const REMOVE_LABELS_BODY = shape({ id: labelled, reason });
export const LABELS_REMOVED = shape({ sessions: whole });

const operator = { name: text, role: { type: "string", enum: ROLES }, created_at: time, created_by: text };
export const OPERATOR = shape(operator);
export const OPERATORS = shape({ operators: list(OPERATOR) });
export const NEW_OPERATOR = shape({ ...operator, key: { ...text, description: "Shown this once." } });
export const PROBLEM = shape(
  { type: text, title: text, status: whole, code: text, detail: text, errors: list(text), id: text },
  ["errors", "id"],
);
