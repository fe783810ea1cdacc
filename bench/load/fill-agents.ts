// In: a data folder and a number. Out: that many live agents in the broker's database, as if they had been spawned.
// Written by the store itself and not through the issuer: a hundred thousand spawns would take minutes.
import { randomBytes, randomUUID } from "node:crypto";
import type { AgentAuthority } from "../../src/broker/grants/authority.ts";
import { openState } from "../../src/broker/state/open-state.ts";
import { inTransaction } from "../../src/lib/durable-database.ts";

const AGENTS_A_TRANSACTION = 5000;
const LIFETIME_MS = 3_600_000;
const TOKEN_LIFETIME_MS = 300_000;

export interface Filling {
  readonly dataFolder: string;
  readonly count: number;
  readonly application: string;
  readonly trustDomain: string;
  readonly issuer: string;
  readonly audience: string;
}

/** The gateway of this folder must not run. */
export async function fillAgents(filling: Filling): Promise<void> {
  const nowMs = Date.now();
  const state = openState(filling.dataFolder, () => nowMs);
  try {
    for (let made = 0; made < filling.count; made += AGENTS_A_TRANSACTION) {
      const most = Math.min(AGENTS_A_TRANSACTION, filling.count - made);
      inTransaction(state.db, () => {
        for (let index = 0; index < most; index++) addAgent(state, filling, nowMs);
      });
    }
  } finally {
    await state.close();
  }
}

function addAgent({ agents }: ReturnType<typeof openState>, filling: Filling, nowMs: number): void {
  const jkt = randomBytes(32).toString("base64url");
  const id = `spiffe://${filling.trustDomain}/agent/hiring/rank-j42/${jkt}`;
  const expiresMs = nowMs + LIFETIME_MS;
  const authority: AgentAuthority = {
    orchestration: "hiring",
    task: "rank-j42",
    purpose: "rank-candidates",
    principal: { type: "user", id: "recruiter_alice", issuer: filling.issuer, attributes: {} },
    provenance: {
      model: "claude-sonnet-5",
      model_version: "",
      deployment: "",
      environment: "production",
      config_digest: "",
      image_digest: "",
      prompt_digest: "",
      publisher: "",
      verified: false,
    },
    session: {
      id: randomBytes(16).toString("base64url"),
      root_request: "",
      initiator: { type: "user", id: "recruiter_alice" },
    },
    ttl_s: TOKEN_LIFETIME_MS / 1000,
    renewals_max: 100,
    depth_max: 5,
    audience: filling.audience,
    jkt,
    chain: [],
  };
  const grant = { scope: ["read:candidates:J42"], details: [], constraints: { job_id: "J42" } };
  if (!agents.useInstance(jkt)) throw new Error("32 random bytes came twice");
  agents.add(
    { id, application: filling.application, parent: null, depth: 0, authority, grant, expiresMs },
    { jti: randomUUID(), issuedMs: nowMs, expiresMs: nowMs + TOKEN_LIFETIME_MS },
  );
}
