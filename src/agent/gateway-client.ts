// In: an agent's token and key, and the gateway's origin. Out: raw exchanges with the gateway, each with a proof of its own.
// Trusts: nothing that a program behind the sidecar sends can change the gateway's address, the credentials or the framing.
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { createDpopProof } from "./create-dpop-proof.ts";
import type { AgentKey } from "./create-key.ts";

/** As many as the sidecar takes from its program. */
const SOCKETS_MAX = 256;
/** Below the gateway's own default of 60 s, so that a request does not meet a connection that is being closed. */
const IDLE_MS = 30_000;

export interface GatewayClientOptions {
  /** The gateway's public origin. */
  readonly origin: string;
  readonly key: AgentKey;
  /** Throws CordonError where the agent has ended. */
  readonly getToken: () => Promise<string>;
}

export interface GatewayRequest {
  readonly method: string;
  /** Path and query, as they go on the wire. */
  readonly target: string;
  /** Raw pairs without Host, credentials and framing. */
  readonly headers: readonly string[];
  /** Raw pairs that frame the body, or that ask for an upgrade. */
  readonly framing: readonly string[];
}

export interface OpenRequest {
  /** Its headers are written with its first byte of body, or by `end`. */
  readonly outgoing: ClientRequest;
  /** What it was sent with. */
  readonly accessToken: string;
}

export interface GatewayClient {
  readonly origin: string;
  open(request: GatewayRequest): Promise<OpenRequest>;
  /** Whether the request was refused before anything was done, and a second one would pass: a nonce or a newer token. */
  mayPassAgain(answer: IncomingMessage, accessToken: string): Promise<boolean>;
  close(): void;
}

const NONCE_CHALLENGE = /^DPoP\b.*\berror="?use_dpop_nonce\b/i;
const TOKEN_CHALLENGE = /^DPoP\b.*\berror="?invalid_token\b/i;

export function createGatewayClient({ origin, key, getToken }: GatewayClientOptions): GatewayClient {
  const { protocol, host } = new URL(origin);
  const limits = { keepAlive: true, maxSockets: SOCKETS_MAX, timeout: IDLE_MS };
  const agent = protocol === "https:" ? new HttpsAgent(limits) : new HttpAgent(limits);
  const send = protocol === "https:" ? httpsRequest : httpRequest;
  let nonce: string | undefined;

  return {
    origin,
    async open({ method, target, headers, framing }) {
      const accessToken = await getToken();
      const proof = createDpopProof({ key, method, url: `${origin}${target}`, accessToken, nonce });
      const outgoing = send(origin, {
        method,
        path: target,
        agent,
        headers: ["Host", host, ...headers, "Authorization", `DPoP ${accessToken}`, "DPoP", proof, ...framing],
      });
      return { outgoing, accessToken };
    },
    async mayPassAgain(answer, accessToken) {
      const given = answer.headers["dpop-nonce"];
      const challenge = answer.headers["www-authenticate"] ?? "";
      if (typeof given === "string") nonce = given;
      if (answer.statusCode !== 401) return false;
      if (NONCE_CHALLENGE.test(challenge)) return typeof given === "string";
      // Superseded between its choice and its arrival.
      return TOKEN_CHALLENGE.test(challenge) && (await getToken()) !== accessToken;
    },
    close: () => agent.destroy(),
  };
}
