// In: a session id of an MCP server, the agent that opened it and a key of this process. Out: the id that the agent is
// given, which nobody else can use. Trusts: the key. No table: it holds across threads, and costs nothing while it lives.
//
// 2025-11-25, "Session Hijacking": a session id is no credential. It is bound to the principal and to the agent, since
// another agent of the same principal may hold narrower scopes, and a session's stream carries the answers of both.
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Agent } from "../../token/agent.ts";

/** Visible ASCII (2025-11-25, "Session Management"), and no longer than a header of it is worth. */
const SESSION_ID = /^[\x21-\x7e]{1,1024}$/;

/** 128 bits of the tag as base64url: no one guesses it within the life of a process. */
const TAG_BYTES = 16;
const TAG_CHARACTERS = 22;

export interface SessionBinding {
  /** What the agent gets instead of the server's id; null where that one is none. */
  seal(route: string, agent: Agent, id: string): string | null;
  /** The server's id; null where it was sealed for another agent, another route or by another process. */
  open(route: string, agent: Agent, sealed: string): string | null;
}

export function createSessionBinding(key: Uint8Array): SessionBinding {
  function tagOf(route: string, { claims }: Agent, id: string): Buffer {
    const { type, id: principal, issuer } = claims.principal;
    const text = JSON.stringify([route, claims.token.issuer, issuer, type, principal, claims.agent.id, id]);
    return createHmac("sha256", key).update(text).digest().subarray(0, TAG_BYTES);
  }
  return {
    seal: (route, agent, id) => (SESSION_ID.test(id) ? `${tagOf(route, agent, id).toString("base64url")}.${id}` : null),
    open(route, agent, sealed) {
      const id = sealed.slice(TAG_CHARACTERS + 1);
      if (sealed[TAG_CHARACTERS] !== "." || !SESSION_ID.test(id)) return null;
      const tag = Buffer.from(sealed.slice(0, TAG_CHARACTERS), "base64url");
      return tag.length === TAG_BYTES && timingSafeEqual(tag, tagOf(route, agent, id)) ? id : null;
    },
  };
}
