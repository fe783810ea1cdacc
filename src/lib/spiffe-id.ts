// In: a SPIFFE id or its parts. Out: the identity of an agent, or undefined.
// Trusts nothing: each segment is one of SPIFFE-ID section 2.2, so no part can change the meaning of another.
import type { AgentIdentity } from "../token/agent.ts";

/** SPIFFE-ID section 2.3. */
const ID_CHARS_MAX = 2048;
const SEGMENT_CHARS_MAX = 128;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
const TRUST_DOMAIN = /^[a-z0-9][a-z0-9._-]{0,254}$/;
const SCHEME = "spiffe://";

/** `spiffe://<trust-domain>/agent/<orchestration>/<task>/<instance>`. */
export function parseAgentId(id: string): AgentIdentity | undefined {
  if (!id.startsWith(SCHEME)) return undefined;
  const [trustDomain, kind, orchestration, task, instance, ...rest] = id.slice(SCHEME.length).split("/");
  if (kind !== "agent" || rest.length > 0) return undefined;
  return composeAgentId(trustDomain ?? "", orchestration ?? "", task ?? "", instance ?? "");
}

export function composeAgentId(
  trustDomain: string,
  orchestration: string,
  task: string,
  instance: string,
): AgentIdentity | undefined {
  if (!TRUST_DOMAIN.test(trustDomain) || ![orchestration, task, instance].every(isSegment)) return undefined;
  const id = `${SCHEME}${trustDomain}/agent/${orchestration}/${task}/${instance}`;
  return { id, trust_domain: trustDomain, orchestration, task, instance };
}

/** The trust domain of any SPIFFE id (SPIFFE-ID section 2), or undefined where the text is none. */
export function trustDomainOf(id: unknown): string | undefined {
  if (typeof id !== "string" || id.length > ID_CHARS_MAX || !id.startsWith(SCHEME)) return undefined;
  const [trustDomain = "", ...segments] = id.slice(SCHEME.length).split("/");
  return TRUST_DOMAIN.test(trustDomain) && segments.every(isSegment) ? trustDomain : undefined;
}

function isSegment(text: string): boolean {
  return text.length <= SEGMENT_CHARS_MAX && SEGMENT.test(text) && text !== "." && text !== "..";
}
