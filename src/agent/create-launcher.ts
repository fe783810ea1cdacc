// In: an orchestrator's registration and key. Out: launch tokens, one for each agent that it starts.
// The launch grant of Cordon's issuer, with private_key_jwt (RFC 7523). The orchestrator never sees an agent's token or key.
import { type JsonObject, isObject } from "../lib/strict-json.ts";
import { assertClient } from "./client-assertion.ts";
import { CordonError } from "./cordon-error.ts";
import type { AgentKey } from "./create-key.ts";
import { createIssuerClient } from "./issuer-client.ts";

const GRANT_TYPE = "urn:cordon:params:oauth:grant-type:launch";
const LAUNCH_TOKEN_TYPE = "urn:cordon:params:oauth:token-type:launch-token";

export interface LauncherOptions {
  readonly issuer: string;
  /** As the application is registered (`cordon app add`). */
  readonly application: string;
  /** The application's registered key. */
  readonly key: AgentKey;
  readonly fetch?: typeof fetch;
}

/** What one agent is launched for. Everything must be within the application's ceiling. */
export interface LaunchRequest {
  readonly orchestration: string;
  readonly task: string;
  readonly purpose: string;
  /** `action:resource:identifier`. */
  readonly scope: readonly string[];
  /** RFC 9396. */
  readonly details?: readonly JsonObject[];
  readonly constraints?: JsonObject;
  /** For whom: declared, within the ceiling. Or proved, by `principalToken`. */
  readonly principal?: { readonly type: string; readonly id: string; readonly attributes?: JsonObject };
  /** A token of a configured identity provider that names the principal. */
  readonly principalToken?: { readonly token: string; readonly type: "jwt" | "id_token" | "access_token" };
  readonly session?: {
    readonly root_request?: string;
    readonly initiator?: { readonly type: string; readonly id: string };
  };
  /** A signed manifest (compact JWS), or what it would say, unverified. */
  readonly manifest?: string | JsonObject;
  readonly resource?: string;
  /** Life of each token, in seconds. */
  readonly tokenTtlS?: number;
  /** The agent's whole authority, in seconds. */
  readonly lifetimeS?: number;
  readonly renewalsMax?: number;
  readonly depthMax?: number;
}

export interface Launch {
  /** Single use: hand it to the agent by a file or a file descriptor, within its life. */
  readonly launchToken: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

export interface Launcher {
  /** Throws CordonError: `scope_beyond_ceiling`, `principal_not_allowed`, `issuer_unreachable`, `token_refused`. */
  launch(request: LaunchRequest): Promise<Launch>;
}

export function createLauncher(options: LauncherOptions): Launcher {
  const { issuer, application, key } = options;
  const client = createIssuerClient({ issuer, ...(options.fetch === undefined ? {} : { fetch: options.fetch }) });
  return {
    async launch(request) {
      const fields = fieldsOf(request);
      const sentAtMs = Date.now();
      const answer = await client.requestToken({
        form: () =>
          new URLSearchParams({
            grant_type: GRANT_TYPE,
            ...assertClient({ issuer, clientId: application, key }),
            ...fields,
          }),
      });
      const { access_token: launchToken, issued_token_type: type, expires_in: expiresIn } = answer;
      if (typeof launchToken !== "string" || type !== LAUNCH_TOKEN_TYPE) {
        throw new CordonError("issuer_answer_invalid", "The issuer did not answer with a launch token.");
      }
      return { launchToken, expiresAtMs: sentAtMs + (typeof expiresIn === "number" ? expiresIn : 0) * 1000 };
    },
  };
}

function fieldsOf(request: LaunchRequest): Record<string, string> {
  const { principalToken: proved } = request;
  const fields: Record<string, unknown> = {
    orchestration: request.orchestration,
    task: request.task,
    purpose: request.purpose,
    scope: request.scope.join(" "),
    authorization_details: request.details,
    constraints: request.constraints,
    principal: request.principal,
    subject_token: proved?.token,
    subject_token_type: proved === undefined ? undefined : `urn:ietf:params:oauth:token-type:${proved.type}`,
    session: request.session,
    manifest: request.manifest,
    resource: request.resource,
    ttl_s: request.tokenTtlS,
    lifetime_s: request.lifetimeS,
    renewals_max: request.renewalsMax,
    depth_max: request.depthMax,
  };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, textOf(value)]])),
  );
}

function textOf(value: unknown): string {
  return isObject(value) || Array.isArray(value) ? JSON.stringify(value) : String(value);
}
