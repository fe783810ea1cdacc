// In: a judged WebSocket upgrade and its prepared target. Out: a byte tunnel to the tool, and an outcome.
// Trusts: the caller has judged the request; the tool's answer is passed on only when it is a true 101.
//
// http-proxy copies the headers and the URL of the request it is given, and relays whatever a tool answers. So it is
// given a request made here, with ruled headers and the exact path; it connects through the target's own connector;
// and its listeners for errors and for answers other than 101 are replaced.
import { createHash } from "node:crypto";
import { Agent, type ClientRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import httpProxy from "http-proxy";
import { type Denial, deny, REASONS } from "../errors.ts";
import type { ConnectError } from "./connect-upstream.ts";
import { DenialError, failureOf } from "./failure-of.ts";
import { closeFrame, FramePlace, GOING_AWAY, POLICY_VIOLATION } from "./frame-place.ts";
import { requestHeaders, responseHeaders } from "./header-rules.ts";
import type { UpstreamTarget } from "./target.ts";

/** How long one side may stay open after the other has ended: time for a close frame's answer, not for a leak. */
const HALF_OPEN_MS_MAX = 10_000;

/** How long the client of a tunnel that was cut has to read why, and to close. */
const LAST_WORD_MS_MAX = 1000;

/** RFC 6455 section 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

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
  /** Asked when the connection is ready and before the first byte: a denial stops the upgrade, and nothing was sent. */
  readonly beforeSend: () => Denial | null;
  /** Called once, just before the 101 goes to the client. */
  readonly onOpen?: () => void;
}

export interface TunnelOutcome {
  readonly sent: boolean;
  /** 101 when the tunnel was open; the tool's own status when it refused; null without an answer. */
  readonly status: number | null;
  readonly failure: Denial | null;
  /** True once the 101 went to the client. False: nothing was written to `socket`, answer it. */
  readonly opened: boolean;
  /** From the client to the tool, after the upgrade. */
  readonly bytesIn: number;
  /** From the tool to the client, after the upgrade. */
  readonly bytesOut: number;
}

export interface TunnelHandle {
  /** Settles once, never rejects. */
  readonly closed: Promise<TunnelOutcome>;
  /** Ends both sides now. The client gets a close frame where one may stand; its tool never does: it would have to be masked. */
  cut(denial: Denial): void;
}

export function openTunnel(request: TunnelRequest): TunnelHandle {
  return new Tunnel(request);
}

class Tunnel implements TunnelHandle {
  readonly closed: Promise<TunnelOutcome>;
  readonly #request: TunnelRequest;
  #resolve: (outcome: TunnelOutcome) => void = noop;
  #outgoing: ClientRequest | null = null;
  #toolSocket: Duplex | null = null;
  #answerTimer: NodeJS.Timeout | null = null;
  #halfOpenTimer: NodeJS.Timeout | null = null;
  #settled = false;
  #sent = false;
  #opened = false;
  #status: number | null = null;
  #bytesIn = 0;
  #bytesOut = 0;
  readonly #place = new FramePlace();

  constructor(request: TunnelRequest) {
    this.#request = request;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    request.socket.on("error", noop); // its close follows and says the same
    const refused = this.#checkClient();
    if (refused !== null) {
      this.#settle(refused);
      return;
    }
    request.socket.once("close", this.#onClientClose);
    this.#answerTimer = setTimeout(
      () => this.#fail(deny("upstream.timeout", "no answer to the upgrade")),
      request.target.headersTimeoutMs,
    );
    this.#start();
  }

  cut(denial: Denial): void {
    if (this.#settled) return;
    const { socket } = this.#request;
    const toolSocket = this.#toolSocket;
    // A client that does not read would hold its connection.
    if (!this.#opened || toolSocket === null || socket.writableNeedDrain || !this.#place.isBetween) {
      this.#fail(denial);
      return;
    }
    const { status, code } = REASONS[denial.reason];
    this.#settle(denial);
    this.#outgoing?.destroy();
    // What the tool has said was written in the same turn as it was read: nothing of it can follow.
    toolSocket.unpipe(socket);
    socket.unpipe(toolSocket);
    toolSocket.destroy();
    socket.end(closeFrame(status === 503 ? GOING_AWAY : POLICY_VIOLATION, code));
    const impatient = setTimeout(() => socket.destroy(), LAST_WORD_MS_MAX);
    socket.once("close", () => clearTimeout(impatient));
    // Read to its end and thrown away: bytes that wait at the close would reset the connection before the frame is read.
    socket.resume();
  }

  #checkClient(): Denial | null {
    const { request, socket } = this.#request;
    // Its close has been said already: nothing else would ever end the tunnel of a client that reset in time.
    if (socket.destroyed) return deny("exchange.client_closed");
    // RFC 6455 section 4.1. The tool gets a GET: with another method it would be asked what was not judged.
    if (request.method !== "GET") return deny("upstream.protocol", `an upgrade by ${request.method}`);
    return null;
  }

  #start(): void {
    const { target, socket, head, path } = this.#request;
    // http-proxy only sees plain HTTP to this name: the agent's connector makes the checked and verified connection.
    const proxy = httpProxy.createProxyServer({
      target: new URL("http://upstream.invalid"),
      agent: this.#agent(),
      prependPath: false,
      toProxy: true,
    });
    proxy.on("error", noop); // the client's socket errors, seen by its close
    proxy.on("proxyReqWs", (outgoing: ClientRequest) => {
      outgoing.path = target.pathFor(path);
      this.#outgoing = outgoing;
    });
    const upgrade = {
      method: "GET",
      url: "/",
      httpVersion: "1.1",
      httpVersionMajor: 1,
      headers: this.#headers(),
      socket,
      connection: socket,
    };
    proxy.ws(upgrade as unknown as IncomingMessage, socket as Parameters<typeof proxy.ws>[1], head, {}, noop);
    if (this.#outgoing !== null) this.#takeOver(this.#outgoing);
  }

  #takeOver(outgoing: ClientRequest): void {
    const openListeners = outgoing.listeners("upgrade") as ((...args: unknown[]) => void)[];
    for (const event of ["error", "response", "upgrade"]) outgoing.removeAllListeners(event);
    outgoing.on("error", (error) => this.#fail(failureOf(error)));
    outgoing.on("response", (answer) => {
      this.#status = answer.statusCode ?? null;
      this.#fail(deny("upstream.protocol", `the upgrade was answered ${answer.statusCode}`));
    });
    outgoing.on("upgrade", (answer: IncomingMessage, toolSocket: Duplex, toolHead: Buffer) => {
      this.#toolSocket = toolSocket;
      this.#status = answer.statusCode ?? null;
      const denial = this.#settled ? null : this.#checkAnswer(answer);
      if (this.#settled || denial !== null) {
        toolSocket.destroy();
        if (denial !== null) this.#fail(denial);
        return;
      }
      answer.headers = this.#answerHeaders(answer);
      this.#opened = true;
      this.#request.onOpen?.();
      for (const open of openListeners) open(answer, toolSocket, toolHead);
      this.#watch(toolSocket);
    });
  }

  #agent(): Agent {
    const agent = new Agent({ keepAlive: false });
    agent.createConnection = (_options, callback) => {
      this.#request.target.connect((error: ConnectError | null, socket) => {
        const denial = error === null ? this.#beforeSend() : error.denial;
        if (denial === null && socket !== null) {
          this.#sent = true;
          callback?.(null, socket);
        } else {
          socket?.destroy();
          callback?.(new DenialError(denial ?? deny("upstream.unreachable")), undefined as never);
        }
      });
      return undefined;
    };
    return agent;
  }

  #beforeSend(): Denial | null {
    const { socket, beforeSend } = this.#request;
    return this.#settled || socket.destroyed ? deny("exchange.client_closed") : beforeSend();
  }

  /** The ruled headers as an object, with the upgrade's own hop-by-hop headers put back. */
  #headers(): Record<string, string | string[]> {
    const { target, identity, request } = this.#request;
    const own = target.credential === null ? identity : [...identity, target.credential];
    const pairs = requestHeaders(request.rawHeaders, own, false);
    const headers: Record<string, string | string[]> = Object.create(null);
    for (let i = 0; i < pairs.length; i += 2) {
      const name = (pairs[i] as string).toLowerCase();
      const before = headers[name];
      const value = pairs[i + 1] as string;
      headers[name] = before === undefined ? value : [before, value].flat();
    }
    headers["host"] = target.host;
    headers["connection"] = "Upgrade";
    headers["upgrade"] = "websocket";
    return headers;
  }

  /** RFC 6455 section 4.1: a 101 that does not prove it read the key is no WebSocket. */
  #checkAnswer(answer: IncomingMessage): Denial | null {
    const key = this.#request.request.headers["sec-websocket-key"] ?? "";
    const expected = createHash("sha1")
      .update(key + WEBSOCKET_GUID)
      .digest("base64");
    const upgrade = answer.headers.upgrade?.toLowerCase();
    if (upgrade === "websocket" && answer.headers["sec-websocket-accept"] === expected) return null;
    return deny("upstream.protocol", "not a WebSocket");
  }

  #answerHeaders(answer: IncomingMessage): IncomingMessage["headers"] {
    const pairs = responseHeaders(answer.headersDistinct, [], false);
    const headers: Record<string, string[]> = { upgrade: ["websocket"], connection: ["Upgrade"] };
    for (let i = 0; i < pairs.length; i += 2) (headers[pairs[i] as string] ??= []).push(pairs[i + 1] as string);
    delete headers["content-length"]; // RFC 9110 8.6: never in a 1xx
    return headers;
  }

  #watch(toolSocket: Duplex): void {
    const { socket } = this.#request;
    if (this.#answerTimer !== null) clearTimeout(this.#answerTimer);
    // Only now: a listener before http-proxy's own pipe would start the flow without it.
    socket.on("data", (chunk: Buffer) => {
      this.#bytesIn += chunk.length;
    });
    toolSocket.on("data", (chunk: Buffer) => {
      this.#bytesOut += chunk.length;
      this.#place.push(chunk);
    });
    for (const side of [socket, toolSocket]) side.once("end", () => this.#limitHalfOpen());
    toolSocket.on("error", (error) => this.#fail(failureOf(error)));
    toolSocket.once("close", () => this.#settle(null));
  }

  #limitHalfOpen(): void {
    this.#halfOpenTimer ??= setTimeout(() => this.#fail(deny("upstream.timeout", "half-open")), HALF_OPEN_MS_MAX);
  }

  readonly #onClientClose = (): void => {
    if (this.#opened) this.#toolSocket?.end();
    else this.#fail(deny("exchange.client_closed"));
    if (this.#opened) this.#limitHalfOpen();
  };

  #fail(denial: Denial): void {
    if (this.#settled) return;
    this.#settle(denial);
    this.#outgoing?.destroy();
    this.#toolSocket?.destroy();
    if (this.#opened) this.#request.socket.destroy();
  }

  #settle(failure: Denial | null): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#answerTimer !== null) clearTimeout(this.#answerTimer);
    if (this.#halfOpenTimer !== null) clearTimeout(this.#halfOpenTimer);
    this.#request.socket.off("close", this.#onClientClose);
    this.#resolve({
      sent: this.#sent,
      status: this.#status,
      failure,
      opened: this.#opened,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    });
  }
}

function noop(): void {}
