// In: the stage. Out: steps in which a token works with its key and a fresh proof, and in no other way.
// The agent is built on public libraries alone: `openid-client` and `dpop`.
import { generateKeyPair, generateProof } from "dpop";
import { claimsOf, createPublicAgent, type PublicAgent, verdictOf } from "../agents.ts";
import { SCREENING } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";

const CANDIDATE = "/ats/jobs/J42/candidates/C1";
const NAME = "Ada Byron";
const SALARY = 84_000;
/** Connections are spread over the threads by the kernel; one of eight on each is all but certain. */
const REPLAYS = 8;

export function screeningAgent(stage: Stage): PublicAgent {
  if (stage.screening === undefined) throw new Error("the first step gave no token");
  return stage.screening;
}

const getToken: Step = {
  id: "token",
  title: "An agent gets a token that is bound to its key.",
  expected: ["token type DPoP", "bound to the agent's key", "for this gateway only"],
  async run(stage) {
    const agent = await createPublicAgent(stage.setup(SCREENING));
    stage.screening = agent;
    const { cnf, aud } = claimsOf(agent.token);
    const bound = (cnf as { jkt?: string } | undefined)?.jkt === agent.thumbprint;
    return {
      facts: [
        `token type ${agent.tokenType.toLowerCase() === "dpop" ? "DPoP" : agent.tokenType}`,
        bound ? "bound to the agent's key" : "not bound to the agent's key",
        aud === stage.gateway ? "for this gateway only" : `for ${JSON.stringify(aud)}`,
      ],
      note: `key ${agent.thumbprint.slice(0, 8)}..`,
    };
  },
};

const readCandidate: Step = {
  id: "read",
  title: "It reads a candidate through the gateway; the salary is taken out.",
  expected: ["200", `record of ${NAME}`, "no salary", "no token at the tool"],
  async run(stage) {
    const response = await screeningAgent(stage).get(stage.gateway + CANDIDATE);
    const text = await response.text();
    const { name = "nobody" } = JSON.parse(text) as { name?: string };
    const seen = (await (await fetch(`${stage.ats.url}/_seen`)).json()) as { requests: { headers: object }[] };
    const names = Object.keys(seen.requests.at(-1)?.headers ?? {});
    const leaked = names.some((header) => header === "authorization" || header === "dpop");
    return {
      facts: [
        String(response.status),
        `record of ${name}`,
        text.includes("salary") || text.includes(String(SALARY)) ? "with its salary" : "no salary",
        leaked || names.length === 0 ? "a token at the tool" : "no token at the tool",
      ],
    };
  },
};

const readSalary: Step = {
  id: "salary",
  title: "It is refused salary data.",
  expected: ["403 access_denied", "the tool saw nothing"],
  async run(stage) {
    const before = stage.ats.requests();
    const verdict = await verdictOf(await screeningAgent(stage).get(`${stage.gateway}${CANDIDATE}/salary`));
    return { facts: [verdict, seenSince(stage, before)] };
  },
};

const stolenToken: Step = {
  id: "stolen-token",
  title: "The same token without its key is refused.",
  expected: ["as a bearer: 401 invalid_token", "with another key: 401 invalid_dpop_proof", "the tool saw nothing"],
  async run(stage) {
    const { token } = screeningAgent(stage);
    const { fetch: send } = stage.ledger;
    const url = stage.gateway + CANDIDATE;
    const before = stage.ats.requests();
    const bearer = await verdictOf(await send(url, { headers: { authorization: `Bearer ${token}` } }));
    const thief = await generateKeyPair("ES256");
    const dpop = await generateProof(thief, url, "GET", undefined, token);
    const stolen = await verdictOf(await send(url, { headers: { authorization: `DPoP ${token}`, dpop } }));
    return { facts: [`as a bearer: ${bearer}`, `with another key: ${stolen}`, seenSince(stage, before)] };
  },
};

const replayedProof: Step = {
  id: "replay",
  title: "A proof works once; a replay is refused on every thread.",
  expected: ["first: 200", "again: 401 invalid_dpop_proof", "the tool saw 1"],
  async run(stage) {
    const { token, keys } = screeningAgent(stage);
    const url = stage.gateway + CANDIDATE;
    const before = stage.ats.requests();
    const dpop = await generateProof(keys, url, "GET", undefined, token);
    const send = async () =>
      verdictOf(await stage.ledger.fetch(url, { headers: { authorization: `DPoP ${token}`, dpop } }));
    const first = await send();
    const again = new Set(await Promise.all(Array.from({ length: REPLAYS }, send)));
    return {
      facts: [`first: ${first}`, `again: ${[...again].join(" or ")}`, seenSince(stage, before)],
      note: `${REPLAYS} replays, each on a connection of its own`,
    };
  },
};

/** What reached the tool since `before`. */
export function seenSince(stage: Stage, before: number): string {
  const count = stage.ats.requests() - before;
  return `the tool saw ${count === 0 ? "nothing" : count}`;
}

export const TOKEN_STEPS: readonly Step[] = [getToken, readCandidate, readSalary, stolenToken, replayedProof];
