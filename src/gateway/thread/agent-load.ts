// In: the exchanges, streams and bodies of each agent on this thread. Out: whether it may have more of them.
// A proven agent is no trusted one: what it keeps open must leave room for the others. Bounded by what is open.
import type { LimitsConfig } from "../../config/schema.ts";
import { type Denial, deny } from "../../errors.ts";
import { BODY_SHARE } from "../../lib/body-share.ts";

export interface AgentLoad {
  /** Counts one more exchange of this agent, or says why not. */
  enter(agentId: string): Denial | null;
  /** `bodyBytes` are what `addBody` has counted for this exchange. */
  leave(agentId: string, bodyBytes: number): void;
  /** Counts more bytes of a body that an agent which has entered is sending, or says why not. */
  addBody(agentId: string, bytes: number): Denial | null;
  /** Why a stream could not be opened now, or null. Nothing is counted. */
  streamDenial(agentId: string): Denial | null;
  /** Counts one more event stream or tunnel of an agent that has entered, or says why not. */
  openStream(agentId: string): Denial | null;
  closeStream(agentId: string): void;
  /** Agents with something open. */
  readonly size: number;
}

type Limits = Pick<
  LimitsConfig,
  "exchanges_per_agent_max" | "streams_max" | "streams_per_agent_max" | "bodies_bytes_max"
>;

interface Open {
  exchanges: number;
  streams: number;
  bodyBytes: number;
}

export function createAgentLoad(limits: Limits): AgentLoad {
  const agents = new Map<string, Open>();
  let streams = 0;
  let bodyBytes = 0;

  function streamDenial(agentId: string): Denial | null {
    if (streams >= limits.streams_max) return deny("stream.too_many");
    const own = agents.get(agentId)?.streams ?? 0;
    return own >= limits.streams_per_agent_max ? deny("stream.agent_quota", `${own} are open`) : null;
  }

  return {
    enter(agentId) {
      const open = agents.get(agentId);
      if (open === undefined) agents.set(agentId, { exchanges: 1, streams: 0, bodyBytes: 0 });
      else if (open.exchanges >= limits.exchanges_per_agent_max) return deny("gateway.agent_overloaded");
      else open.exchanges++;
      return null;
    },
    leave(agentId, held) {
      const open = agents.get(agentId);
      if (open === undefined) return;
      bodyBytes -= held;
      open.bodyBytes -= held;
      if (--open.exchanges === 0) agents.delete(agentId);
    },
    addBody(agentId, bytes) {
      const open = agents.get(agentId);
      if (bodyBytes + bytes > limits.bodies_bytes_max) return deny("body.no_room");
      if (open === undefined || open.bodyBytes + bytes > limits.bodies_bytes_max / BODY_SHARE) {
        return deny("body.agent_quota");
      }
      bodyBytes += bytes;
      open.bodyBytes += bytes;
      return null;
    },
    streamDenial,
    openStream(agentId) {
      const denial = streamDenial(agentId);
      const open = agents.get(agentId);
      if (denial !== null || open === undefined) return denial;
      open.streams++;
      streams++;
      return null;
    },
    closeStream(agentId) {
      streams--;
      const open = agents.get(agentId);
      if (open !== undefined) open.streams--;
    },
    get size() {
      return agents.size;
    },
  };
}
