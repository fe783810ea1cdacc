// In: the stage after all other steps. Out: a step that ends the gateway and holds its logs against what was played.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { AuditCheck } from "../../../src/audit/verify-audit-file.ts";
import type { Exchange } from "../ledger.ts";
import type { Step } from "../run-steps.ts";
import { RESPONDER, type Stage } from "../start-stage.ts";
import { WHY } from "./containment-steps.ts";

type Line = Readonly<Record<string, unknown>>;

/** Every reason that the access log has to give for the exchanges of a step; "" is an exchange that passed. */
const REASONS: Readonly<Record<string, readonly string[]>> = {
  read: [""],
  salary: ["policy.denied"],
  "stolen-token": ["credentials.bound_token_as_bearer", "proof.key_mismatch"],
  replay: ["", "proof.replayed"],
  spawn: [""],
  renew: [""],
  delegate: ["", "policy.denied"],
  "revoke-chain": ["", "token.revoked"],
  "policy-edit": ["", "policy.denied"],
  "job-closes": ["", "policy.denied"],
  quarantine: [""],
  drain: ["", "containment.drained"],
  block: ["", "containment.blocked"],
};
/** A reason that one of the step's exchanges has to have; the client decides what else it asks. */
const AMONG: Readonly<Record<string, string>> = {
  "mcp-budget": "budget.exhausted",
  "stream-revoked": "stream.cut_revoked",
  "mcp-drift": "mcp.tool_drifted",
};
/** What the policy itself said, in the decision log. */
const CODES: Readonly<Record<string, string>> = {
  salary: "hiring.salary_is_out_of_scope",
  mcp: "mcp.scope_is_missing",
  delegate: "hiring.scope_is_missing",
  "mcp-argument": "mcp.arguments_do_not_fit",
  "policy-edit": "hiring.candidate_is_on_hold",
  "job-closes": "hiring.job_is_closed",
};

export const logStep: Step = {
  id: "logs",
  title: "The gateway drains, and its logs show all of it.",
  expected: [
    "exit code 0",
    "every call in the access log, with its reason",
    "every verdict in the decision log",
    "the audit log is whole",
    "who contained and why",
    "no token, proof or key",
  ],
  async run(stage) {
    const code = await stage.stopGateway();
    const played = stage.ledger.exchanges;
    const access = readLines(stage.accessLog);
    const decisions = readLines(stage.decisionLog);
    const audit = readLines(stage.auditFile);
    const checked = await stage.admin.ask<AuditCheck>("audit", "check", stage.auditFile);
    const open = checked.intentsWithoutOutcome.length;
    return {
      facts: [
        `exit code ${code}`,
        fact(accessProblems(played, access), "every call in the access log, with its reason"),
        fact(decisionProblems(played, access, decisions), "every verdict in the decision log"),
        fact(auditProblems(checked, access, audit), "the audit log is whole"),
        fact(containmentProblems(audit), "who contained and why"),
        fact(leaks(stage), "no token, proof or key"),
      ],
      note:
        `${played.length} calls, ${decisions.length} decisions, ${checked.records} audit records, ` +
        `${open} open intents, ${stage.ledger.secrets.size} secrets searched for`,
    };
  },
};

/** The fact, or the first thing that is wrong with it. */
function fact(problems: readonly string[], whole: string): string {
  const [first] = problems;
  return first === undefined ? whole : `${problems.length} wrong, first: ${first}`;
}

function byRequest(lines: readonly Line[]): Map<unknown, Line> {
  return new Map(lines.map((line) => [line["request_id"], line]));
}

function accessProblems(played: readonly Exchange[], access: readonly Line[]): string[] {
  const lines = byRequest(access);
  const problems = played
    .filter(({ requestId, status }) => lines.get(requestId)?.["status"] !== status)
    .map(({ step, requestId, status }) => `${step} ${requestId} with ${status}`);
  for (const [step, expected] of Object.entries(REASONS)) {
    const own = played.filter((exchange) => exchange.step === step);
    const reasons = new Set(own.map(({ requestId }) => String(lines.get(requestId)?.["reason"])));
    // A step that was not run has no exchanges; it says so itself.
    if (own.length > 0 && [...reasons].sort().join() !== [...expected].sort().join())
      problems.push(`${step}: ${[...reasons].join()}`);
  }
  for (const [step, reason] of Object.entries(AMONG)) {
    const own = played.filter((exchange) => exchange.step === step);
    if (!own.some(({ requestId }) => lines.get(requestId)?.["reason"] === reason))
      problems.push(`${step}: no ${reason}`);
  }
  const mirrored = access.filter((line) => line["outcome"] === "mirrored");
  if (mirrored.length !== 1 || mirrored[0]?.["containment_mode"] !== "quarantined")
    problems.push(`${mirrored.length} mirrored calls`);
  return problems;
}

/** Each exchange that came to a decision has a line with the same ids; refusals say the policy's own code. */
function decisionProblems(played: readonly Exchange[], access: readonly Line[], decisions: readonly Line[]): string[] {
  // An answer that is judged has a line of its own.
  const lines = byRequest(decisions.filter((line) => line["path"] === "cordon/decision"));
  const problems = access
    .filter((line) => line["decision_id"] !== "")
    .filter((line) => lines.get(line["request_id"])?.["decision_id"] !== line["decision_id"])
    .map((line) => String(line["request_id"]));
  for (const [step, code] of Object.entries(CODES)) {
    const own = played.filter((exchange) => exchange.step === step && exchange.status === 403);
    for (const { requestId } of own) {
      if (!JSON.stringify(lines.get(requestId)?.["result"] ?? "").includes(`"${code}"`))
        problems.push(`${step}: ${code}`);
    }
  }
  return problems;
}

function auditProblems(checked: AuditCheck, access: readonly Line[], audit: readonly Line[]): string[] {
  const problems = checked.problems.map(({ line, problem }) => `line ${line}: ${problem}`);
  const ids = (type: string) =>
    new Set(audit.filter((line) => line["type"] === type).map((line) => line["request_id"]));
  const [intents, outcomes, denied] = [ids("intent"), ids("outcome"), ids("denied")];
  for (const line of access) {
    const { request_id: id, outcome, agent } = line;
    const passed = outcome === "forwarded" || outcome === "mirrored";
    if (passed && !(intents.has(id) && outcomes.has(id))) problems.push(`${String(id)} without intent and outcome`);
    if (outcome === "denied" && agent !== "" && !denied.has(id)) problems.push(`${String(id)} without its denial`);
  }
  return [...problems, ...checked.intentsWithoutOutcome.map((id) => `${id} without an outcome`)];
}

function containmentProblems(audit: readonly Line[]): string[] {
  const modes = { quarantine: "quarantined", drain: "draining", block: "blocked" } as const;
  return Object.entries(modes)
    .filter(
      ([step, mode]) =>
        !audit.some(
          (line) =>
            line["type"] === "containment" &&
            line["action"] === `containment.${mode}` &&
            line["operator"] === RESPONDER &&
            line["outcome"] === "applied" &&
            line["reason"] === WHY[step as keyof typeof WHY],
        ),
    )
    .map(([step]) => step);
}

/** Names of log files in which a secret stands, whole or only its signature. Never the secret. */
function leaks(stage: Stage): string[] {
  const needles = [...stage.ledger.secrets].flatMap((secret) => {
    const signature = secret.split(".")[2];
    return signature === undefined ? [secret] : [secret, signature];
  });
  if (needles.length === 0 || needles.some((needle) => needle.length < 32)) return ["no secrets to search for"];
  return stage.logs.flatMap(filesOf).filter((file) => {
    const text = readFileSync(file, "utf8");
    return needles.some((needle) => text.includes(needle));
  });
}

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function readLines(file: string): Line[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
}
