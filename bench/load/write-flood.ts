// In: agents, used proofs and a number. Out: a file of that many requests by callers who prove nothing, a fifth of each kind.
// No kind is cheap by accident: each text is new except for the replays, so that a memory of refused texts helps nobody, and
// a false signature is of the right form, so that it has to be verified.
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { BenchAgent } from "./agents.ts";

export const FLOOD_MIX =
  "a fifth each: no credentials, garbage as token, a token with a false signature, a stolen token with a false proof, a replay";

/** r and s, 32 bytes each. */
const SIGNATURE_BYTES = 64;
const GARBAGE_BYTES = 300;

const noise = (bytes: number): string => randomBytes(bytes).toString("base64url");
/** The first two parts as they are, and a signature that nobody made. */
const withFalseSignature = (jws: string): string =>
  `${jws.slice(0, jws.lastIndexOf(".") + 1)}${noise(SIGNATURE_BYTES)}`;

export interface Flood {
  readonly count: number;
  readonly host: string;
  readonly path: string;
  readonly htu: string;
  readonly agents: readonly BenchAgent[];
  /** Files of requests that were answered before, heads used in turn; of the proofs, the first `count` were sent. */
  readonly used: { readonly heads: string; readonly proofs: string; readonly count: number };
}

export function writeFlood(file: string, flood: Flood): void {
  const heads = readFileSync(flood.used.heads, "utf8").split("\n");
  const proofs = readFileSync(flood.used.proofs, "utf8").split("\n").slice(0, flood.used.count);
  const start = `GET ${flood.path} HTTP/1.1|Host: ${flood.host}|`;
  const iat = Math.floor(Date.now() / 1000);
  const request = (token: string, proof: string): string => `${start}Authorization: DPoP ${token}|DPoP: ${proof}||`;
  const falseProof = (agent: BenchAgent): string => {
    const payload = JSON.stringify({ jti: randomUUID(), htm: "GET", htu: flood.htu, iat, ath: agent.tokenHash });
    return `${agent.proofHeader}.${Buffer.from(payload).toString("base64url")}.${noise(SIGNATURE_BYTES)}`;
  };
  const replay = (index: number): string => `${heads[index % heads.length] ?? ""}${proofs[index] ?? ""}||`;
  const kinds: readonly ((index: number, agent: BenchAgent) => string)[] = [
    () => `${start}|`,
    () => request(`${noise(30)}.${noise(GARBAGE_BYTES)}.${noise(SIGNATURE_BYTES)}`, noise(GARBAGE_BYTES)),
    (_index, agent) => request(withFalseSignature(agent.token), falseProof(agent)),
    (_index, agent) => request(agent.token, falseProof(agent)),
    (index) => replay(index % proofs.length),
  ];
  const lines: string[] = [];
  for (let index = 0; index < flood.count; index++) {
    const agent = flood.agents[index % flood.agents.length];
    if (agent === undefined) throw new Error("no agents");
    lines.push(kinds[index % kinds.length]?.(Math.floor(index / kinds.length), agent) ?? "");
  }
  writeFileSync(file, lines.join("\n"));
}
