// In: a registered client, its key's thumbprint, the granted scopes. Out: the token's `sub` and its `cordon` claim.
// Pure. It trusts that the caller has verified the client's assertion and the key's proof.
import { createHash } from "node:crypto";
import type { AgentClaims } from "../token/agent.ts";
import type { BrokerConfig } from "../config/schema.ts";

export type BrokerClient = BrokerConfig["clients"][number];

/** The `cordon` claim: the four claims and the identity, with the member names of the policy input. */
export type CordonClaim = Omit<AgentClaims, "token">;

export interface IssuedClaims {
  /** `spiffe://<trust-domain>/agent/<orchestration>/<task>/<instance>`. */
  readonly sub: string;
  readonly cordon: CordonClaim;
}

/**
 * One key is one instance: the instance is the RFC 7638 thumbprint, whose base64url alphabet is safe in a SPIFFE path.
 * A restarted agent makes a new key, and so becomes a new instance.
 */
export function agentClaims(options: {
  readonly client: BrokerClient;
  readonly issuer: string;
  readonly trustDomain: string;
  readonly keyThumbprint: string;
  readonly scope: readonly string[];
  /** Unix seconds. */
  readonly expiresAt: number;
}): IssuedClaims {
  const { client, issuer, trustDomain, keyThumbprint } = options;
  const { orchestration, task } = client;
  const instance = keyThumbprint;
  const id = `spiffe://${trustDomain}/agent/${orchestration}/${task}/${instance}`;
  return {
    sub: id,
    cordon: {
      agent: { id, trust_domain: trustDomain, orchestration, task, instance },
      principal: {
        type: client.principal.type,
        id: client.principal.id,
        issuer,
        attributes: client.principal.attributes,
      },
      intent: {
        task,
        purpose: client.purpose,
        scope: options.scope,
        details: [],
        constraints: client.constraints,
        expires_at: new Date(options.expiresAt * 1000).toISOString().replace(".000Z", "Z"),
      },
      provenance: { ...client.provenance, image_digest: "", prompt_digest: "", publisher: "", verified: false },
      // A session lasts as long as the key: a renewed token stays in the chain of its first request.
      session: {
        id: chainId("session", id),
        root_request: chainId("root-request", id),
        initiator: client.initiator,
        depth: 0,
        chain: [],
      },
    },
  };
}

function chainId(label: string, agentId: string): string {
  return createHash("sha256").update(`cordon/${label}\0${agentId}`).digest("base64url").slice(0, 22);
}
