// In: the operators' API and its key. Out: one change after the other, as busy operators make them, and what went wrong.
// Whatever is tightened is released again; policy data differ only in a number that no rule reads.
import { readFileSync } from "node:fs";
import path from "node:path";
import { packageRoot } from "../../src/lib/package-root.ts";

export interface Operators {
  /** One step: a change of containment, of the policy, or a look. */
  step(victim: string): Promise<void>;
  metrics(): Promise<ReadonlyMap<string, number>>;
  /** Steps done, and the refusals that nobody asked for. */
  readonly steps: number;
  readonly problems: readonly string[];
}

const TIMEOUT_MS = 20_000;
/** How long an agent stays contained. */
const CONTAINED_MS = 700;
const PROBLEMS_MAX = 20;

export function createOperators(control: string, key: string): Operators {
  const data = JSON.parse(
    readFileSync(path.join(packageRoot(import.meta.url), "policies", "data.json"), "utf8"),
  ) as object;
  const problems: string[] = [];
  let steps = 0;

  async function call(method: string, target: string, body?: unknown, credential = key): Promise<number> {
    const response = await fetch(new URL(target, control), {
      method,
      headers: {
        authorization: `Bearer ${credential}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok && credential === key) note(`${method} ${target}: ${response.status} ${text}`);
    return response.status;
  }

  function note(problem: string): void {
    if (problems.length < PROBLEMS_MAX) problems.push(problem);
  }

  async function contain(id: string, mode: string): Promise<void> {
    const drain = mode === "draining" ? { drain_s: 60 } : {};
    await call("PUT", "/v1/containment/agent", { id, mode, reason: "soak", ...drain });
    await new Promise((resolve) => setTimeout(resolve, CONTAINED_MS));
    await call("POST", "/v1/containment/agent/release", { id, reason: "soak" });
  }

  const order: readonly ((victim: string) => Promise<unknown>)[] = [
    (victim) => contain(victim, "blocked"),
    () => call("PUT", "/v1/policy/data", { ...data, soak: steps }),
    (victim) => contain(victim, "quarantined"),
    () => call("POST", "/v1/policy/reload", {}),
    (victim) => contain(victim, "draining"),
    () => call("GET", "/v1/agents"),
    () => call("GET", "/v1/containment/history?limit=100"),
    () => call("GET", "/v1/status", undefined, "cordon_op_wrong"),
    () => call("DELETE", "/v1/policy/data", {}),
  ];

  return {
    get steps() {
      return steps;
    },
    problems,
    async step(victim) {
      try {
        await order[steps % order.length]?.(victim);
      } catch (error) {
        note(error instanceof Error ? error.message : String(error));
      }
      steps += 1;
    },
    async metrics() {
      const response = await fetch(new URL("/metrics", control), { signal: AbortSignal.timeout(TIMEOUT_MS) });
      const lines = (await response.text()).matchAll(/^(\w+) (\S+)$/gm);
      return new Map([...lines].map((match) => [match[1] ?? "", Number(match[2])]));
    },
  };
}
