// In: the applications. Out: oidc-provider's view of them: two clients each, at work as soon as the application is.
// The orchestrator signs with its registered key; its agents share a public client, since no agent is ever registered.
import type { AdapterPayload, ClientMetadata } from "oidc-provider";
import type { Application } from "../../lib/application-schema.ts";
import type { Applications } from "./applications.ts";

/** The grants of each of the two clients. */
export interface ClientGrants {
  readonly launch: string;
  readonly exchange: string;
  readonly agentsClientOf: (application: string) => string;
}

export function findClient(
  applications: Pick<Applications, "find">,
  clientId: string,
  grants: ClientGrants,
): AdapterPayload | undefined {
  const orchestrator = applications.find(clientId);
  if (orchestrator !== undefined) return orchestratorClient(orchestrator, grants.launch);
  // A name of an application has no dot, so a client id is one of the two and never both.
  const name = clientId.slice(0, Math.max(0, clientId.lastIndexOf(".")));
  if (clientId !== grants.agentsClientOf(name) || applications.find(name) === undefined) return undefined;
  return agentsClient(clientId, grants.exchange);
}

const COMMON = { response_types: [], redirect_uris: [] } as const;

function orchestratorClient({ name, jwks }: Application, grant: string): AdapterPayload {
  const client = {
    ...COMMON,
    client_id: name,
    token_endpoint_auth_method: "private_key_jwt",
    grant_types: [grant],
    jwks: jwks as unknown as NonNullable<ClientMetadata["jwks"]>,
  };
  return client as unknown as AdapterPayload;
}

function agentsClient(clientId: string, grant: string): AdapterPayload {
  const client = {
    ...COMMON,
    client_id: clientId,
    token_endpoint_auth_method: "none",
    grant_types: [grant],
    dpop_bound_access_tokens: true,
  };
  return client as unknown as AdapterPayload;
}
