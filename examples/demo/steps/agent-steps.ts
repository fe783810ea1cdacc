// In: the stage. Out: steps in the life of agents that nobody registered: launched, renewed, delegated to, revoked.
// On the package's own library, as an orchestrator and its agents would use it; the operator uses the real command.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { CordonError } from "../../../src/agent/cordon-error.ts";
import { type Agent, createAgent } from "../../../src/agent/create-agent.ts";
import { createKey } from "../../../src/agent/create-key.ts";
import { createLauncher, type LaunchRequest } from "../../../src/agent/create-launcher.ts";
import type { TokenReport } from "../../../src/cli/verify-token.ts";
import { claimsOf, verdictOf } from "../agents.ts";
import { ORCHESTRATOR, TRUST_DOMAIN } from "../demo-config.ts";
import { NotRun, type Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { seenSince } from "./token-steps.ts";

const CANDIDATE = "/ats/jobs/J42/candidates/C1";
const NAME = "Ada Byron";
const TASK_ID = `spiffe://${TRUST_DOMAIN}/agent/hiring/rank-j42`;
const SCORE = { method: "POST", headers: { "content-type": "application/json" }, body: '{"score":71}' };
/** Short, so that a renewal comes within the step; an eighth of it is left to renew in, also on a busy machine. */
const RENEWED_TOKEN_S = 12;
const LOOK_AGAIN_MS = 100;

/** What the worked example is launched for: it reads the candidates of one job and scores them. */
const HIRING: LaunchRequest = {
  orchestration: "hiring",
  task: "rank-j42",
  purpose: "rank-candidates",
  scope: ["read:candidates:J42", "write:scores:J42"],
  constraints: { job_id: "J42" },
  principal: { type: "user", id: "recruiter_alice" },
  session: { root_request: "r445", initiator: { type: "user", id: "recruiter_alice" } },
  manifest: { model: "claude-sonnet-5", model_version: "2026-09-01", deployment: "eu-1", environment: "production" },
};

/** The agents of one chain, from the step that starts them to the one that revokes it. */
interface Chain {
  launchToken: string;
  agent: Agent | undefined;
  subAgent: Agent | undefined;
}

const chains = new WeakMap<Stage, Chain>();

function chainOf(stage: Stage): Chain {
  const chain = chains.get(stage) ?? { launchToken: "", agent: undefined, subAgent: undefined };
  chains.set(stage, chain);
  return chain;
}

function started(agent: Agent | undefined): Agent {
  if (agent === undefined) throw new Error("the step that starts it failed");
  return agent;
}

export function orchestrator(stage: Stage) {
  const { issuer, clientKey: key, ledger } = stage.setup(ORCHESTRATOR);
  const launcher = createLauncher({ issuer, application: ORCHESTRATOR, key, fetch: ledger.fetch });
  return {
    /** A launch token, which no log may hold. */
    async launch(changes: Partial<LaunchRequest> = {}): Promise<string> {
      const { launchToken } = await launcher.launch({ ...HIRING, ...changes });
      ledger.keepSecret(launchToken);
      return launchToken;
    },
  };
}

/** An agent that was launched, or that another one delegated to. */
export async function spawn(
  stage: Stage,
  source: Pick<Parameters<typeof createAgent>[0], "launchToken" | "delegation" | "key">,
) {
  const { issuer, ledger } = stage.setup(ORCHESTRATOR);
  const key = source.key ?? createKey();
  ledger.keepSecret(String(key.privateKey.export({ format: "jwk" }).d));
  const agent = await createAgent({ issuer, ...source, key, fetch: ledger.fetch });
  ledger.keepSecret(await agent.accessToken());
  return agent;
}

/** `done`, or the code of the error with which it was refused. */
async function outcomeOf(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
    return "done";
  } catch (error) {
    if (error instanceof CordonError) return error.code;
    throw error;
  }
}

const launch: Step = {
  id: "launch",
  title: "An orchestrator launches an agent, within its ceiling.",
  expected: ["a launch token", "beyond the ceiling: scope_beyond_ceiling", "for somebody else: principal_not_allowed"],
  async run(stage) {
    const { launch: ask } = orchestrator(stage);
    const chain = chainOf(stage);
    chain.launchToken = await ask();
    const wider = await outcomeOf(ask({ scope: ["read:salaries:*"] }));
    const other = await outcomeOf(ask({ principal: { type: "user", id: "mallory" } }));
    return {
      facts: [
        chain.launchToken.startsWith(`${ORCHESTRATOR}.`) ? "a launch token" : "no launch token",
        `beyond the ceiling: ${wider}`,
        `for somebody else: ${other}`,
      ],
      note: "good for 30 s, and once",
    };
  },
};

const spawnAgent: Step = {
  id: "spawn",
  title: "The agent makes its key, redeems the launch token, and is somebody.",
  expected: ["its own identity", "reads a candidate: 200", "the same launch token again: launch_token_spent"],
  async run(stage) {
    const chain = chainOf(stage);
    const agent = await spawn(stage, { launchToken: chain.launchToken });
    chain.agent = agent;
    const read = await verdictOf(await agent.fetch(stage.gateway + CANDIDATE));
    const again = await outcomeOf(spawn(stage, { launchToken: chain.launchToken }));
    return {
      facts: [
        agent.id === `${TASK_ID}/${agent.thumbprint}` ? "its own identity" : agent.id,
        `reads a candidate: ${read}`,
        `the same launch token again: ${again}`,
      ],
      note: `instance ${agent.thumbprint.slice(0, 8)}..`,
    };
  },
};

const renew: Step = {
  id: "renew",
  title: "Its token is renewed in time, for the same identity and key.",
  expected: ["another token", "the same identity and key", "a later end", "reads a candidate: 200"],
  async run(stage) {
    const agent = await spawn(stage, { launchToken: await orchestrator(stage).launch({ tokenTtlS: RENEWED_TOKEN_S }) });
    const old = await agent.accessToken();
    let token = old;
    // The library renews by itself; the step's own limit ends this where it does not.
    for (; token === old; token = await agent.accessToken()) await wait(LOOK_AGAIN_MS);
    stage.ledger.keepSecret(token);
    const [first, next] = [claimsOf(old), claimsOf(token)];
    const same = next["sub"] === first["sub"] && JSON.stringify(next["cnf"]) === JSON.stringify(first["cnf"]);
    const read = await verdictOf(await agent.fetch(stage.gateway + CANDIDATE));
    await agent.close();
    return {
      facts: [
        next["jti"] === first["jti"] ? "the same token" : "another token",
        same ? "the same identity and key" : "another identity or key",
        Number(next["exp"]) > Number(first["exp"]) ? "a later end" : "no later end",
        `reads a candidate: ${read}`,
      ],
      note: `tokens of ${RENEWED_TOKEN_S} s`,
    };
  },
};

const delegate: Step = {
  id: "delegate",
  title: "It hands a smaller piece to a sub-agent, which gets that and no more.",
  expected: [
    "its own identity, one below",
    "sub-agent reads: 200",
    "sub-agent scores: 403 access_denied",
    "its parent scores: 201",
    "more than the parent has: delegation_too_wide",
  ],
  async run(stage) {
    const chain = chainOf(stage);
    const parent = started(chain.agent);
    const key = createKey();
    const request = { delegateThumbprint: key.thumbprint, purpose: "rank-candidates", scope: ["read:candidates:J42"] };
    // Signed by the parent's key, and nobody is asked: the record and the sub-agent's own key are all it takes.
    const sub = await spawn(stage, { delegation: await parent.delegate(request), key });
    chain.subAgent = sub;
    const { cordon } = claimsOf(await sub.accessToken()) as { cordon?: { session?: { depth?: number } } };
    const own = sub.id === `${TASK_ID}/${key.thumbprint}` && cordon?.session?.depth === 1;
    const score = async (agent: Agent) => verdictOf(await agent.fetch(`${stage.gateway}${CANDIDATE}/score`, SCORE));
    const read = await verdictOf(await sub.fetch(stage.gateway + CANDIDATE));
    return {
      facts: [
        own ? "its own identity, one below" : sub.id,
        `sub-agent reads: ${read}`,
        `sub-agent scores: ${await score(sub)}`,
        `its parent scores: ${await score(parent)}`,
        `more than the parent has: ${await outcomeOf(parent.delegate({ ...request, scope: ["read:candidates:*"] }))}`,
      ],
    };
  },
};

const lineage: Step = {
  id: "lineage",
  title: "Anyone verifies the whole lineage offline.",
  expected: ["valid", "agent, then sub-agent", "the sub-agent may read only", "one record left out: not valid"],
  async run(stage) {
    const chain = chainOf(stage);
    const [agent, sub] = [started(chain.agent), started(chain.subAgent)];
    const folder = join(stage.folder, "lineage");
    mkdirSync(folder, { mode: 0o700 });
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const jwks = write("jwks.json", await (await fetch(`${stage.setup(ORCHESTRATOR).issuer}/jwks`)).text());
    const token = await sub.accessToken();
    const verify = (file: string) => stage.admin.run("verify", "token", file, "--jwks", jwks, "--json");
    const { stdout } = await verify(write("token", token));
    const report = JSON.parse(stdout) as TokenReport;
    const [header, payload = "", signature] = token.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { cordon: { delegation: object } };
    Object.assign(claims.cordon.delegation, { records: [] });
    const cut = [header, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
    const { code } = await verify(write("cut-token", cut));
    const ids = report.lineage.map(({ id }) => id).join();
    return {
      facts: [
        report.valid ? "valid" : String(report.reason),
        ids === [agent.id, sub.id].join() ? "agent, then sub-agent" : ids,
        `the sub-agent may ${report.lineage.at(-1)?.scope.join() === "read:candidates:J42" ? "read only" : "do more"}`,
        `one record left out: ${code === 1 ? "not valid" : `exit code ${code}`}`,
      ],
      note: "by `cordon verify token`, with the issuer's keys from a file",
    };
  },
};

const revokeChain: Step = {
  id: "revoke-chain",
  title: "An operator revokes the chain: both agents are refused.",
  expected: [
    "before: 200 and 200",
    "2 agents ended",
    "agent: 401 invalid_token",
    "sub-agent: 401 invalid_token",
    "the tool saw nothing",
  ],
  async run(stage) {
    const chain = chainOf(stage);
    const agents = [started(chain.agent), started(chain.subAgent)] as const;
    const { iss, cordon } = claimsOf(await agents[0].accessToken()) as {
      iss: string;
      cordon: { session: { id: string } };
    };
    const ask = async (agent: Agent) => verdictOf(await agent.fetch(stage.gateway + CANDIDATE));
    const before = [await ask(agents[0]), await ask(agents[1])];
    const why = ["--reason", "the worked example is over"];
    const revoked = await stage.admin.ask<{ agents: number }>("revoke", "chain", `${iss} ${cordon.session.id}`, ...why);
    const atTool = stage.ats.requests();
    const after = [await ask(agents[0]), await ask(agents[1])];
    return {
      facts: [
        `before: ${before.join(" and ")}`,
        `${revoked.agents} agents ended`,
        `agent: ${after[0]}`,
        `sub-agent: ${after[1]}`,
        seenSince(stage, atTool),
      ],
    };
  },
};

const sidecar: Step = {
  id: "sidecar",
  title: "An unmodified curl works behind the sidecar, and holds neither key nor token.",
  expected: ["200", `record of ${NAME}`, "no salary", "no token, proof or key in its environment", "exit code 0"],
  async run(stage) {
    if ((await stage.runProgram("sh", ["-c", "command -v curl"])).code !== 0) throw new NotRun("there is no curl");
    const file = join(stage.folder, "launch-token");
    writeFileSync(file, await orchestrator(stage).launch(), { mode: 0o600 });
    const { issuer } = stage.setup(ORCHESTRATOR);
    const curl = `curl -s -w '\\n%{http_code}\\n' "$CORDON_BASE_URL${CANDIDATE}"`;
    const args = ["agent", "--issuer", issuer, "--launch-token-file", file, "--", "sh", "-c", `${curl}; env`];
    const { code, stdout } = await stage.runCordon(args);
    const [body = "", status = "nothing", ...environment] = stdout.split("\n");
    const { name = "nobody" } = JSON.parse(body) as { name?: string };
    const held = environment.some((line) => /eyJ|LAUNCH_TOKEN|PRIVATE KEY|"d":/.test(line));
    return {
      facts: [
        status,
        `record of ${name}`,
        body.includes("salary") ? "with its salary" : "no salary",
        held ? "a credential in its environment" : "no token, proof or key in its environment",
        `exit code ${code}`,
      ],
      note: "by `cordon agent -- COMMAND`",
    };
  },
};

export const AGENT_STEPS: readonly Step[] = [launch, spawnAgent, renew, delegate, lineage, revokeChain, sidecar];
