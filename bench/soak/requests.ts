// In: a pool of agents. Out: the requests of the soak, one after the other: mostly what is allowed, and some of all else.
// Each carries the statuses that it may get; any other is a finding.
import { randomBytes, randomUUID } from "node:crypto";
import { type BenchAgent, signProof } from "../load/agents.ts";
import type { AgentPool } from "./agent-pool.ts";
import { CANDIDATE_PATH, OTHER_JOB_PATH, SALARY_PATH, SCORE_PATH, STRICT_PATH } from "./soak-config.ts";

export interface SoakRequest {
  readonly kind: string;
  readonly request: string;
  readonly expected: readonly number[];
  /** Its connection is not used again, whatever the answer says. */
  readonly alone?: boolean;
}

export interface RequestMaker {
  next(): SoakRequest;
  /** An allowed request was answered: from now on it is a replay. */
  used(request: string): void;
  /** A head without its last line break. */
  head(agent: BenchAgent, method: string, path: string, more?: string): string;
}

const BIG_BODY_BYTES_MAX = 900_000;
/** Above the limit of a route, 1 MiB. */
const TOO_BIG_BYTES = 2_000_000;
const SIGNATURE_BYTES = 64;

export function createRequests(pool: AgentPool, host: string): RequestMaker {
  const prefix = randomUUID();
  let signed = 0;
  let replayed = "";

  function prove(agent: BenchAgent, method: string, path: string): string {
    signed += 1;
    const iat = Math.floor(Date.now() / 1000);
    return signProof(agent, { jti: `${prefix}-${signed}`, htm: method, htu: `http://${host}${path}`, iat });
  }

  function head(agent: BenchAgent, method: string, path: string, more = ""): string {
    return headOf(method, path, agent.token, prove(agent, method, path), more);
  }

  function headOf(method: string, path: string, token: string, proof: string, more = ""): string {
    return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: DPoP ${token}\r\nDPoP: ${proof}\r\n${more}`;
  }

  const read = (path: string, agent = pool.pick()): string => `${head(agent, "GET", path)}\r\n`;

  function post(bytes: number): string {
    const body = JSON.stringify({ score: 50, note: "x".repeat(bytes) });
    const more = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
    return `${head(pool.pick(), "POST", SCORE_PATH, more)}\r\n${body}`;
  }

  function falseSignature(jws: string): string {
    return `${jws.slice(0, jws.lastIndexOf(".") + 1)}${randomBytes(SIGNATURE_BYTES).toString("base64url")}`;
  }

  function falseProof(): string {
    const agent = pool.pick();
    return headOf("GET", CANDIDATE_PATH, agent.token, falseSignature(prove(agent, "GET", CANDIDATE_PATH)));
  }

  function falseToken(): string {
    const agent = pool.pick();
    return headOf("GET", CANDIDATE_PATH, falseSignature(agent.token), prove(agent, "GET", CANDIDATE_PATH));
  }

  function allowed(): SoakRequest {
    return { kind: "read", request: read(CANDIDATE_PATH), expected: [200] };
  }

  function expired(): SoakRequest {
    const agent = pool.expired();
    return agent === undefined
      ? allowed()
      : { kind: "expired-token", request: read(CANDIDATE_PATH, agent), expected: [401] };
  }

  /** Of a thousand requests, how many are of which kind. */
  const kinds: readonly (readonly [number, () => SoakRequest])[] = [
    [870, allowed],
    [50, () => ({ kind: "strict", request: read(STRICT_PATH), expected: [200] })],
    [15, () => ({ kind: "salary", request: read(SALARY_PATH), expected: [403] })],
    [10, () => ({ kind: "other-job", request: read(OTHER_JOB_PATH), expected: [403] })],
    [5, () => ({ kind: "no-route", request: read("/nowhere"), expected: [404] })],
    [5, () => ({ kind: "no-credentials", request: `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, expected: [401] })],
    [5, () => ({ kind: "false-token", request: `${falseToken()}\r\n`, expected: [401] })],
    [5, () => ({ kind: "false-proof", request: `${falseProof()}\r\n`, expected: [401] })],
    [5, expired],
    [5, () => (replayed === "" ? allowed() : { kind: "replay", request: replayed, expected: [401] })],
    [12, () => ({ kind: "small-body", request: post(2000), expected: [200] })],
    [3, () => ({ kind: "big-body", request: post(Math.floor(Math.random() * BIG_BODY_BYTES_MAX)), expected: [200] })],
    [2, () => ({ kind: "too-big", request: tooBig(), expected: [413], alone: true })],
    [4, () => ({ kind: "noise", request: randomBytes(200).toString("latin1"), expected: [400], alone: true })],
    [4, () => ({ kind: "two-lengths", request: twoLengths(), expected: [400], alone: true })],
  ];
  const sum = kinds.reduce((total, [weight]) => total + weight, 0);

  function tooBig(): string {
    const more = `Content-Type: application/json\r\nContent-Length: ${TOO_BIG_BYTES}\r\n`;
    return `${head(pool.pick(), "POST", SCORE_PATH, more)}\r\n`;
  }

  function twoLengths(): string {
    const more = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    return `${head(pool.pick(), "POST", SCORE_PATH, more)}\r\n0\r\n\r\n`;
  }

  return {
    head,
    used(request) {
      replayed = request;
    },
    next() {
      let at = Math.random() * sum;
      for (const [weight, make] of kinds) {
        if (at < weight) return make();
        at -= weight;
      }
      return allowed();
    },
  };
}
