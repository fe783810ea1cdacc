import { createRouteInput, type InputParts, inputText } from "../../../src/action/build-input.ts";
import type { AccessEntry, DecisionEntry } from "../../../src/telemetry/log-entries.ts";
import type { Agent } from "../../../src/token/agent.ts";
import { PROVENANCE } from "../../fixtures/hiring-claims.ts";

/** A fresh agent for each call: the logs keep serialised members by identity. */
export function agentWith(claims: Partial<Agent["claims"]>): Agent {
  const id = "spiffe://acme.example/agent/o1/t1/i1";
  const all: Agent["claims"] = {
    agent: { id, trust_domain: "acme.example", orchestration: "o1", task: "t1", instance: "i1" },
    principal: {
      type: "user",
      id: "recruiter_alice",
      issuer: "https://idp.acme.example",
      attributes: { badge: "secret-badge" },
    },
    intent: {
      task: "t1",
      purpose: "rank-candidates",
      scope: ["read:candidates:J42"],
      details: [],
      constraints: { job_id: "J42" },
      expires_at: "2026-01-01T00:05:00Z",
    },
    provenance: { ...PROVENANCE, verified: true },
    session: {
      id: "s1",
      root_request: "r445",
      initiator: { type: "user", id: "recruiter_alice" },
      depth: 1,
      chain: [],
    },
    token: { issuer: "https://idp.acme.example", jti: "jti-1", binding: "dpop", expires_at: "2026-01-01T00:05:00Z" },
    ...claims,
  };
  return {
    claims: all,
    claimsJson: JSON.stringify(all).slice(1, -1),
    binding: "dpop",
    keyThumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    expiresAtMs: Date.parse(all.token.expires_at),
    refs: {
      token: `${all.token.issuer} ${all.token.jti}`,
      agent: id,
      task: "spiffe://acme.example/agent/o1/t1",
      chain: `${all.token.issuer} ${all.session.id}`,
      ancestors: [],
    },
  };
}

export const agent: Agent = agentWith({});

const ids = {
  requestId: "Zm9vYmFyYmF6cXV4-0000001",
  decisionId: "Zm9vYmFyYmF6cXV4-0000002",
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b7",
  agent,
  policyRevision: { bundle: "2026-01-01", data: "7" },
  containmentEpoch: 3,
  containmentMode: "active" as const,
  timeMs: Date.parse("2026-01-01T00:00:00.000Z"),
};

export function access(changes: Partial<AccessEntry>): AccessEntry {
  return {
    ...ids,
    listener: "main",
    route: "ats",
    method: "GET",
    host: "gateway.example",
    path: "/ats/jobs/J42/candidates/C1",
    status: 200,
    outcome: "forwarded",
    reason: "",
    detail: "",
    mode: "enforce",
    sourceIp: "127.0.0.1",
    bytesIn: 0,
    bytesOut: 512,
    durationUs: 1234,
    upstreamUs: 800,
    httpVersion: "1.1",
    errorId: "",
    ...changes,
  };
}

const QUERY = { view: "secret-view", page: "2" };

/** What an exchange asks, as the policy sees it. */
export function asked(changes: Partial<InputParts>): InputParts {
  return {
    claimsJson: agent.claimsJson,
    route: createRouteInput({
      name: "ats",
      resource: { type: "candidate_profiles", classification: "interview_safe", owner: "hiring", attributes: {} },
    }),
    method: "GET",
    bodyText: null,
    target: {
      path: "/ats/jobs/J42/candidates/C1",
      search: "",
      segments: ["ats", "jobs", "J42", "candidates", "C1"],
      encodedSlash: false,
      query: QUERY,
    },
    params: { job_id: "J42" },
    host: "gateway.example",
    timeMs: ids.timeMs,
    sourceIp: "127.0.0.1",
    gateway: "cordon",
    ...changes,
  };
}

export function decision(changes: Partial<DecisionEntry>): DecisionEntry {
  return {
    ...ids,
    mode: "enforce",
    inputText: inputText(asked({})),
    arguments: { job: { id: "J42" }, note: "secret-note" },
    query: QUERY,
    sourceIp: "127.0.0.1",
    decision: { allow: true, reasons: [], obligations: {} },
    reason: "",
    detail: "",
    evaluationUs: 21,
    ...changes,
  };
}
