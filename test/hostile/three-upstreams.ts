// In: bytes for the gateway. Out: which requests were in them for the gateway, a recorder, nginx and haproxy.
// One gateway with a host for each upstream, so that the same bytes go to all three; behind each real server is a recorder.
import { randomUUID } from "node:crypto";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { openRaw, rawRequest } from "./raw-client.ts";
import { type RealServer, requireServers, startHaproxy, startNginx } from "./real-servers.ts";
import { type FramedRequest, type RecordedRequest, startRecordingUpstream } from "./recording-upstream.ts";

export const UPSTREAMS = ["recorder", "nginx", "haproxy"] as const;
export type UpstreamName = (typeof UPSTREAMS)[number];

/** The gateway as the caller of one upstream sees it. */
export interface Door {
  readonly origin: string;
  readonly host: string;
  /** `Host` and good credentials for one request. */
  credentials(method: string, target: string): Promise<string[]>;
  /** A request with them. */
  request(method: string, target: string, lines?: readonly string[], body?: string): Promise<string>;
}

/** What goes out on one connection: the first at once, each further one when something came back for the one before. */
export type Script = readonly (Uint8Array | string)[];

/** What became of the bytes that were sent through one door. */
export interface Reading {
  readonly statuses: readonly number[];
  /** Request ids of the gateway's answers, in their order. */
  readonly ids: readonly string[];
  /** The requests that each reader saw whole: the upstream itself, and the recorder behind a real server. */
  readonly views: readonly (readonly FramedRequest[])[];
  /** The same with headers, as a recorder saw them. */
  readonly recorded: readonly RecordedRequest[];
  /** Whatever a reader refused, or could not read to its end. */
  readonly faults: readonly string[];
}

export type Evidence = Readonly<Record<UpstreamName, Reading>>;

/** What the gateway's own logs say about a request id. */
export interface Judgement extends FramedRequest {
  readonly outcome: string;
  readonly reason: string;
}

export interface ThreeUpstreams {
  readonly g: TestGateway;
  readonly agent: TestAgent;
  /**
   * Plays what `make` makes for each door on a connection of its own, and waits until the gateway has closed it.
   * With `thenEnd` the client's side is ended behind the last bytes.
   */
  send(make: (door: Door) => Promise<Script>, thenEnd?: boolean): Promise<Evidence>;
  /** The judgements of all exchanges in `evidence`, by request id. */
  judgements(evidence: readonly Evidence[]): Promise<Map<string, Judgement>>;
  close(): Promise<void>;
}

/** Ends an exchange whose request never becomes whole. */
const REQUEST_TIMEOUT_MS = 3000;
/** Longer than any exchange of these tests may take: a stuck one is a fault of its own case, and the others still run. */
const STUCK_MS = 6000;

export async function startThreeUpstreams(): Promise<ThreeUpstreams> {
  requireServers();
  const recorders = {
    recorder: await startRecordingUpstream(),
    nginx: await startRecordingUpstream(),
    haproxy: await startRecordingUpstream(),
  };
  const servers: Partial<Record<UpstreamName, RealServer>> = {
    nginx: await startNginx(recorders.nginx.url),
    haproxy: await startHaproxy(recorders.haproxy.url),
  };
  const originOf = (name: UpstreamName, port: number): string => `http://${name}.test:${port}`;
  const g = await startTestGateway(({ port }) => ({
    public_origins: [`http://127.0.0.1:${port}`, ...UPSTREAMS.map((name) => originOf(name, port))],
    // The most permissive routes there are: every method, a policy whose verdict is only observed; the second one unread.
    routes: UPSTREAMS.flatMap((name) => {
      const route = {
        host: originOf(name, port),
        methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        mode: "observe",
        resource: { type: "any", classification: "any" },
        // One connection: what a request left behind on it is read with the next one.
        upstream: { url: (servers[name] ?? recorders[name]).url, allow_private_addresses: true, connections_max: 1 },
      };
      return [
        { ...route, name: `${name}-judged`, path: "/judged/**", body: "json" },
        { ...route, name: `${name}-streamed`, path: "/**", body: "stream", upgrade: ["websocket"] },
      ];
    }),
    limits: { request_timeout_ms: REQUEST_TIMEOUT_MS, headers_timeout_ms: REQUEST_TIMEOUT_MS },
    logs: { safe_fields: ["arguments./n"] },
  }));
  const agent = await g.agent();

  function doorOf(name: UpstreamName): Door {
    const origin = originOf(name, Number(new URL(g.url).port));
    const { host } = new URL(origin);
    const credentials = async (method: string, target: string): Promise<string[]> => {
      const { authorization, dpop } = await agent.headers(origin + target, method);
      return [`Host: ${host}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
    };
    return {
      origin,
      host,
      credentials,
      request: async (method, target, lines = [], body = "") =>
        rawRequest(`${method} ${target} HTTP/1.1`, [...(await credentials(method, target)), ...lines], body),
    };
  }

  async function sendTo(name: UpstreamName, make: (door: Door) => Promise<Script>, thenEnd: boolean): Promise<Reading> {
    const door = doorOf(name);
    const { seen, faults } = recorders[name];
    const received = await untilClosed(g.url, await make(door), faults, thenEnd);
    // All that the gateway sent before stands before this on the one connection to the upstream, or has ended it.
    const sentinel = `/sentinel/${randomUUID()}`;
    const answer = await untilClosed(g.url, [await door.request("GET", sentinel, ["Connection: close"])], faults);
    const server = servers[name];
    if (answer.startsWith("HTTP/1.1 200 ")) await server?.logged(sentinel);
    else faults.push(`it does not answer any more: ${answer.slice(0, 80)}`);
    const log = server?.log.splice(0) ?? [];
    const recorded = seen.splice(0);
    const mine = <T extends FramedRequest>(requests: readonly T[]): T[] =>
      requests.filter(({ target }) => target !== sentinel);
    const answered = log.filter(({ status }) => status === 200);
    const views: (readonly FramedRequest[])[] = server === undefined ? [recorded] : [answered, recorded];
    return {
      statuses: [...received.matchAll(/^HTTP\/1\.1 ([2-5]\d\d) /gm)].map((match) => Number(match[1])),
      ids: [...received.matchAll(/^x-cordon-request-id: (.+)$/gim)].map((match) => (match[1] ?? "").trim()),
      views: views.map((requests) => mine(requests).map(framedOnly)),
      recorded: mine(recorded),
      faults: [...faults.splice(0), ...log.filter(({ status }) => status !== 200).map((line) => JSON.stringify(line))],
    };
  }

  async function judgements(evidence: readonly Evidence[]): Promise<Map<string, Judgement>> {
    const ids = new Set(evidence.flatMap((one) => UPSTREAMS.flatMap((name) => one[name].ids)));
    const missing = new Set(ids);
    const access = await g.lines("access", (line) => missing.delete(String(line["request_id"])) && missing.size === 0);
    const judged = new Map<string, Judgement>();
    for (const { request_id: id, method, path, outcome, reason } of access as Record<string, string>[]) {
      if (id === undefined || !ids.has(id)) continue;
      judged.set(id, {
        method: method ?? "",
        target: path ?? "",
        bytes: 0,
        sha256: null,
        outcome: outcome ?? "",
        reason: reason ?? "",
      });
    }
    const intended = new Set([...judged].filter(([, { outcome }]) => outcome !== "denied").map(([id]) => id));
    const isLast = (line: Record<string, unknown>): boolean =>
      line["type"] === "outcome" && intended.delete(String(line["request_id"])) && intended.size === 0;
    for (const line of intended.size === 0 ? [] : await g.lines("audit", isLast)) {
      const known = judged.get(String(line["request_id"]));
      if (line["type"] !== "outcome" || known === undefined) continue;
      const body = { bytes: line["request_bytes"] as number, sha256: line["request_sha256"] as string | null };
      judged.set(String(line["request_id"]), { ...known, ...body });
    }
    return judged;
  }

  return {
    g,
    agent,
    async send(make, thenEnd = false) {
      const [recorder, nginx, haproxy] = await Promise.all(UPSTREAMS.map((name) => sendTo(name, make, thenEnd)));
      if (recorder === undefined || nginx === undefined || haproxy === undefined) throw new Error("not three");
      return { recorder, nginx, haproxy };
    },
    judgements,
    async close() {
      await g.close();
      await Promise.all([...Object.values(servers), ...Object.values(recorders)].map((one) => one.close()));
    },
  };
}

function framedOnly({ method, target, bytes, sha256 }: FramedRequest): FramedRequest {
  return { method, target, bytes, sha256 };
}

/** Plays the script and reads until the gateway closes. */
async function untilClosed(url: string, script: Script, faults: string[], thenEnd = false): Promise<string> {
  const connection = await openRaw(url);
  connection.socket.setTimeout(STUCK_MS, () => {
    faults.push("the gateway neither answers nor closes");
    connection.destroy();
  });
  for (const [index, bytes] of script.entries()) {
    if (index > 0) await connection.more();
    connection.write(bytes);
  }
  if (thenEnd) connection.socket.end();
  await connection.closed;
  connection.destroy();
  return connection.received();
}
