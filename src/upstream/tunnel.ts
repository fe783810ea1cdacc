// In: a judged WebSocket upgrade and its prepared target. Out: a byte tunnel to the tool, and an outcome.
// Trusts: the caller has judged the request; the tool's answer is passed on only when it is a true 101.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Denial } from "../errors.ts";
import type { UpstreamTarget } from "./forwarder.ts";

export interface TunnelRequest {
  readonly target: UpstreamTarget;
  /** The client's upgrade request; its headers go through the same rules as any other's. */
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Raw canonical path and query as judged; the prefix is not stripped yet. */
  readonly path: string;
  /** The gateway's own headers, lower-case names. */
  readonly identity: readonly (readonly [string, string])[];
  readonly beforeSend: () => Denial | null;
}

export interface TunnelOutcome {
  readonly sent: boolean;
  /** 101 when the tunnel was open; the tool's own status when it refused; null without an answer. */
  readonly status: number | null;
  readonly failure: Denial | null;
  /** From the client to the tool, after the upgrade. */
  readonly bytesIn: number;
  /** From the tool to the client, after the upgrade. */
  readonly bytesOut: number;
}

export interface TunnelHandle {
  /** Settles once, never rejects. Where the failure came before a 101, nothing was written to `socket`: answer it. */
  readonly closed: Promise<TunnelOutcome>;
  cut(denial: Denial): void;
}

export function openTunnel(_request: TunnelRequest): TunnelHandle {
  throw new Error("not built yet");
}
