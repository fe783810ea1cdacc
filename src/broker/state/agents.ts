// In: agents and the tokens they were given. Out: who lives, which token is its latest, which keys were ever used.
// Trusts: the broker's database. Every method is one step of a transaction that its caller runs.
import type { DatabaseSync } from "node:sqlite";
import type { AgentAuthority, Grant } from "../grants/authority.ts";

export interface StoredAgent {
  /** SPIFFE id. */
  readonly id: string;
  readonly application: string;
  /** SPIFFE id of its delegator; null for a launched agent. */
  readonly parent: string | null;
  readonly depth: number;
  readonly authority: AgentAuthority;
  readonly grant: Grant;
  /** End of its authority. */
  readonly expiresMs: number;
  readonly renewals: number;
  /** `jti` and end of its latest token. */
  readonly token: string;
  readonly tokenExpiresMs: number;
  readonly ended: boolean;
}

export interface StoredToken {
  readonly jti: string;
  readonly agent: string;
  readonly issuedMs: number;
  readonly expiresMs: number;
  /** `jti` of the token that a renewal put in its place. */
  readonly successor: string | null;
  /** Hash of what was asked for at that renewal. */
  readonly request: Buffer | null;
}

export interface IssuedToken {
  readonly jti: string;
  readonly issuedMs: number;
  readonly expiresMs: number;
}

export interface SupersededToken {
  readonly jti: string;
  readonly agent: string;
  readonly supersededMs: number;
  readonly expiresMs: number;
  /** End of the agent's latest token. */
  readonly agentExpiresMs: number;
}

export interface Agents {
  /** False where this key was an agent's at any time before. */
  useInstance(thumbprint: string): boolean;
  add(agent: Omit<StoredAgent, "token" | "tokenExpiresMs" | "renewals" | "ended">, token: IssuedToken): void;
  find(id: string): StoredAgent | undefined;
  findToken(jti: string): StoredToken | undefined;
  /** The new token is the agent's latest, `old` points to it, and the grant is what it was narrowed to. */
  renew(agent: StoredAgent, old: string, request: Buffer, grant: Grant, token: IssuedToken): void;
  /** The agent and everyone it delegated to, at any depth, the agent first; those that have ended are left out. */
  family(id: string): readonly StoredAgent[];
  /** How many agents of this application can have a token or its revocation in force; never less than there are. */
  live(application: string, nowMs: number): number;
  /** How many agents of this chain are remembered. */
  inChain(session: string): number;
  end(id: string, reason: string, nowMs: number): void;
  /** Tokens that were renewed and have not run out. */
  superseded(nowMs: number): readonly SupersededToken[];
  /** How many rows were removed; at most `countMax` of each kind. */
  sweep(nowMs: number, countMax: number): number;
}

/** So long after the end of its authority an agent is remembered: a late request is told why, and streams have ended. */
const AGENT_RETENTION_MS = 3_600_000;
/** Beyond any leeway of a verifier: a token that is gone here is refused everywhere. */
const TOKEN_RETENTION_MS = 120_000;

/** Those that ran out meanwhile are seen so late; whoever comes is counted at once. */
const RECOUNT_MS = 1000;

export function createAgents(db: DatabaseSync): Agents {
  const counts = new Map<string, { readonly atMs: number; count: number }>();
  const use = db.prepare("INSERT OR IGNORE INTO used_instance VALUES (?)");
  const insertAgent = db.prepare(
    `INSERT INTO agent (id, application, session, parent, depth, authority, scope, details, constraints, expires_ms,
       renewals, token, token_expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`,
  );
  const insertToken = db.prepare("INSERT INTO token (jti, agent, issued_ms, expires_ms) VALUES (?, ?, ?, ?)");
  const selectAgent = db.prepare("SELECT * FROM agent WHERE id = ?");
  const selectToken = db.prepare("SELECT * FROM token WHERE jti = ?");
  const renewAgent = db.prepare(
    `UPDATE agent SET scope = ?, details = ?, constraints = ?, renewals = renewals + 1, token = ?, token_expires_ms = ?
     WHERE id = ?`,
  );
  const supersede = db.prepare("UPDATE token SET superseded_ms = ?, successor = ?, request = ? WHERE jti = ?");
  // By the index on `parent`: an agent that has many delegates must not hold the issuer up when it ends.
  const selectFamily = db.prepare(
    `WITH RECURSIVE family (id) AS (
       SELECT id FROM agent WHERE id = :id
       UNION SELECT agent.id FROM family CROSS JOIN agent INDEXED BY agent_parent ON agent.parent = family.id)
     SELECT agent.* FROM family JOIN agent USING (id) WHERE ended_ms IS NULL ORDER BY depth`,
  );
  const countChain = db.prepare("SELECT count(*) AS count FROM agent WHERE session = ?");
  const countLive = db.prepare("SELECT count(*) AS count FROM agent WHERE application = ? AND token_expires_ms > ?");
  const endAgent = db.prepare("UPDATE agent SET ended_ms = ?, end_reason = ? WHERE id = ? AND ended_ms IS NULL");
  const selectSuperseded = db.prepare(
    `SELECT token.jti, token.agent, token.superseded_ms, token.expires_ms, agent.token_expires_ms
     FROM token JOIN agent ON agent.id = token.agent WHERE token.expires_ms > ? AND token.superseded_ms IS NOT NULL`,
  );
  const removeAgents = db.prepare("DELETE FROM agent WHERE id IN (SELECT id FROM agent WHERE expires_ms < ? LIMIT ?)");
  const removeTokens = db.prepare(
    "DELETE FROM token WHERE jti IN (SELECT jti FROM token WHERE expires_ms < ? LIMIT ?)",
  );

  return {
    useInstance: (thumbprint) => use.run(Buffer.from(thumbprint, "base64url")).changes === 1,
    add({ id, application, parent, depth, authority, grant, expiresMs }, token) {
      const { scope, details, constraints } = texts(grant);
      const { session } = authority;
      const fixed = [id, application, session.id, parent, depth, JSON.stringify(authority)] as const;
      insertAgent.run(...fixed, scope, details, constraints, expiresMs, token.jti, token.expiresMs);
      insertToken.run(token.jti, id, token.issuedMs, token.expiresMs);
      const counted = counts.get(application);
      if (counted !== undefined) counted.count += 1;
    },
    live(application, nowMs) {
      let counted = counts.get(application);
      if (counted === undefined || nowMs - counted.atMs >= RECOUNT_MS) {
        const row = countLive.get(application, nowMs - TOKEN_RETENTION_MS);
        counted = { atMs: nowMs, count: Number(row?.["count"]) };
        counts.set(application, counted);
      }
      return counted.count;
    },
    find(id) {
      const row = selectAgent.get(id);
      return row === undefined ? undefined : toAgent(row);
    },
    findToken(jti) {
      const row = selectToken.get(jti);
      return row === undefined ? undefined : toToken(row);
    },
    renew(agent, old, request, grant, token) {
      const { scope, details, constraints } = texts(grant);
      renewAgent.run(scope, details, constraints, token.jti, token.expiresMs, agent.id);
      supersede.run(token.issuedMs, token.jti, request, old);
      insertToken.run(token.jti, agent.id, token.issuedMs, token.expiresMs);
    },
    family: (id) => selectFamily.all({ id }).map(toAgent),
    inChain: (session) => Number(countChain.get(session)?.["count"]),
    end(id, reason, nowMs) {
      endAgent.run(nowMs, reason, id);
    },
    superseded: (nowMs) =>
      selectSuperseded.all(nowMs).map((row) => ({
        jti: String(row["jti"]),
        agent: String(row["agent"]),
        supersededMs: Number(row["superseded_ms"]),
        expiresMs: Number(row["expires_ms"]),
        agentExpiresMs: Number(row["token_expires_ms"]),
      })),
    sweep(nowMs, countMax) {
      const tokens = removeTokens.run(nowMs - TOKEN_RETENTION_MS, countMax).changes;
      return Number(tokens) + Number(removeAgents.run(nowMs - AGENT_RETENTION_MS, countMax).changes);
    },
  };
}

type Row = Record<string, unknown>;

function texts({ scope, details, constraints }: Grant) {
  return {
    scope: JSON.stringify(scope),
    details: JSON.stringify(details),
    constraints: JSON.stringify(constraints),
  };
}

function toAgent(row: Row): StoredAgent {
  return {
    id: String(row["id"]),
    application: String(row["application"]),
    parent: row["parent"] as string | null,
    depth: Number(row["depth"]),
    authority: JSON.parse(String(row["authority"])) as AgentAuthority,
    grant: {
      scope: JSON.parse(String(row["scope"])) as Grant["scope"],
      details: JSON.parse(String(row["details"])) as Grant["details"],
      constraints: JSON.parse(String(row["constraints"])) as Grant["constraints"],
    },
    expiresMs: Number(row["expires_ms"]),
    renewals: Number(row["renewals"]),
    token: String(row["token"]),
    tokenExpiresMs: Number(row["token_expires_ms"]),
    ended: row["ended_ms"] !== null,
  };
}

function toToken(row: Row): StoredToken {
  const request = row["request"] as Uint8Array | null;
  return {
    jti: String(row["jti"]),
    agent: String(row["agent"]),
    issuedMs: Number(row["issued_ms"]),
    expiresMs: Number(row["expires_ms"]),
    successor: row["successor"] as string | null,
    request: request === null ? null : Buffer.from(request),
  };
}
