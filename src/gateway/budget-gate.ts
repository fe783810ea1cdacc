// In: the budgets of the configuration and a call that is to be judged. Out: what it asks of each budget that matches it.
// Joins the pure counters of `budget` with routes, agents and messages. A route that no budget names costs one look here.
import { hash } from "node:crypto";
import type { McpCall } from "../action/mcp/read-call.ts";
import { type BudgetUse, type Demand, partOf, type Refused, TOTALS } from "../budget/budget.ts";
import { budgetInput } from "../budget/budget-text.ts";
import type { CounterTable, Reservation } from "../budget/counter-table.ts";
import { parsePointer, readAmount } from "../budget/read-amount.ts";
import type { BudgetConfig, Config, RouteConfig } from "../config/schema.ts";
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { Agent } from "../token/agent.ts";
import type { Route } from "./services.ts";

/** A call that budgets match, before its arguments are read. */
export interface Counted {
  readonly demands: readonly Demand[];
  /** `input.budget`, as it was before this call. */
  readonly inputJson: string;
}

/** What a call brings that may be counted. */
export interface CallFacts {
  /** Undefined on a route of kind `http`. */
  readonly call: McpCall | undefined;
  /** On a route with an OpenAPI document, the operation's name. */
  readonly operation?: string | undefined;
  /** `input.action.arguments`. */
  readonly arguments: unknown;
  /** Length of the request's body; undefined where it comes in chunks and is not read. */
  readonly bytes: number | undefined;
}

/** For a stream that is open. */
export interface BudgetsNow {
  /** `input.budget`, without what its own call holds. */
  readonly inputJson: string;
  /** Where a budget ends streams whose total others have used up since. */
  readonly usedUp: Denial | undefined;
}

export interface BudgetRefusal extends Denial {
  readonly retryAfterS: number | null;
}

export interface BudgetGate {
  /** Undefined where no budget matches. Nothing is counted yet. */
  look(route: Route, agent: Agent, facts: CallFacts, nowMs: number): Result<Counted | undefined, BudgetRefusal>;
  /** `own`: what the call itself holds. */
  lookAgain(counted: Counted, own: Reservation, nowMs: number): Result<BudgetsNow, BudgetRefusal>;
  reserve(counted: Counted, facts: CallFacts, nowMs: number): Result<Reservation, BudgetRefusal>;
  giveBack(reservation: Reservation): void;
  release(reservation: Reservation): void;
}

interface Compiled {
  readonly config: BudgetConfig;
  readonly tools: ReadonlySet<string> | undefined;
  readonly limits: Demand["limits"];
  readonly pointer: readonly string[];
}

/** Messages of MCP that do something for the agent; what opens, keeps and lists is no call. */
const COUNTED_CLASSES: ReadonlySet<McpCall["class"]> = new Set<McpCall["class"]>(["use", "listen"]);

/** `table` is undefined where no budget is configured. */
export function createBudgetGate(
  config: Pick<Config, "budgets" | "routes">,
  table: CounterTable | undefined,
): BudgetGate {
  const compiled = config.budgets.map(compile);
  const byName = new Map(compiled.map((budget) => [budget.config.name, budget]));
  /** By the number of the route. */
  const ofRoute = config.routes.map((route) => compiled.filter((budget) => isOn(budget.config, route)));

  /** `uses`: those of others. Who took the last of a total itself has what it was spent on. */
  function usedUp({ demands, tookLast }: Reservation, uses: readonly BudgetUse[]): Denial | undefined {
    for (const [index, demand] of demands.entries()) {
      if (byName.get(demand.name)?.config.ends_streams !== true || tookLast[index] === true) continue;
      const limit = TOTALS.find((total) => (uses[index]?.[total]?.remaining ?? Infinity) <= partOf(demand, total));
      if (limit !== undefined) return deny("budget.exhausted", `${demand.name}: ${limit}`);
    }
    return undefined;
  }

  return {
    look(route, agent, { call, operation }, nowMs) {
      const budgets = ofRoute[route.index];
      if (table === undefined || budgets === undefined || budgets.length === 0) return NONE;
      if (call !== undefined && !COUNTED_CLASSES.has(call.class)) return NONE;
      const tool = toolOf(route, call, operation);
      const demands: Demand[] = [];
      for (const budget of budgets) {
        if (budget.tools === undefined || (tool !== undefined && budget.tools.has(tool))) {
          demands.push(demandOf(budget, agent, subjectOf(route, call, operation)));
        }
      }
      if (demands.length === 0) return NONE;
      const uses: BudgetUse[] | undefined = table.read(demands, nowMs);
      if (uses === undefined) return err(UNREADABLE);
      return ok({ demands, inputJson: budgetInput(demands, uses) });
    },
    lookAgain({ demands }, own, nowMs) {
      const uses = table?.read(demands, nowMs, own);
      if (uses === undefined) return err(UNREADABLE);
      return ok({ inputJson: budgetInput(demands, uses), usedUp: usedUp(own, uses) });
    },
    reserve(counted, facts, nowMs) {
      const demands: Demand[] = [];
      for (const demand of counted.demands) {
        const { limits } = demand;
        let { bytes, amount } = demand;
        if (limits.request_bytes_total !== undefined) {
          if (facts.bytes === undefined) return refuse(deny("budget.length_required", demand.name));
          bytes = facts.bytes;
        }
        const sum = byName.get(demand.name);
        if (sum?.config.sum !== undefined) {
          const read = readAmount(facts.arguments, sum.pointer, sum.config.sum.required);
          if ("fault" in read) return refuse(deny("budget.argument", `${demand.name}: ${read.fault}`));
          amount = read.amount;
        }
        demands.push({ ...demand, bytes, amount });
      }
      const reserved = (table as CounterTable).reserve(demands, nowMs);
      return "reason" in reserved ? err(denialOf(reserved)) : ok(reserved);
    },
    giveBack: (reservation) => void table?.giveBack(reservation),
    release: (reservation) => table?.release(reservation),
  };
}

const NONE = ok(undefined);
const UNREADABLE: BudgetRefusal = Object.freeze({ ...deny("budget.unavailable"), retryAfterS: 1 });

function refuse(denial: Denial): Result<never, BudgetRefusal> {
  return err({ ...denial, retryAfterS: null });
}

function denialOf({ reason, detail, retryAfterS }: Refused): BudgetRefusal {
  return { reason, detail, retryAfterS };
}

function compile(config: BudgetConfig): Compiled {
  const { calls_per_minute, calls_total, request_bytes_total, concurrent, sum } = config;
  return {
    config,
    tools: config.match.tools === undefined ? undefined : new Set(config.match.tools),
    limits: { calls_per_minute, calls_total, request_bytes_total, concurrent, sum: sum?.max },
    pointer: sum === undefined ? [] : (parsePointer(sum.argument) ?? []),
  };
}

function isOn({ match }: BudgetConfig, { name }: RouteConfig): boolean {
  return match.routes === undefined || match.routes.includes(name);
}

/** The name that `match.tools` means. */
function toolOf(route: Route, call: McpCall | undefined, operation: string | undefined): string | undefined {
  if (call === undefined) return operation ?? route.input.tool;
  return call.item?.kind === "tool" ? call.item.name : undefined;
}

/** What is counted apart by `per: tool`: two servers may have tools of one name, and a prompt is not a tool. */
function subjectOf(route: Route, call: McpCall | undefined, operation: string | undefined): readonly string[] {
  if (call === undefined) return ["http", route.input.tool, ...(operation === undefined ? [] : [operation])];
  // An id of a task is one agent's own, and of a resource's URI an agent has as many spellings as it likes: to count by them
  // would be to count nothing, and each would hold a counter.
  const isNamed = call.item?.kind === "tool" || call.item?.kind === "prompt";
  const named = call.item !== undefined && isNamed ? [call.item.kind, call.item.name] : [call.method];
  return ["mcp", route.mcp?.server ?? "", ...named];
}

function demandOf({ config, limits }: Compiled, agent: Agent, subject: readonly string[]): Demand {
  const per = config.per.toSorted();
  const parts = per.map((one) => (one === "tool" ? subject : agent.refs[one]));
  // Of the name and the key alone, so that the same agent meets the same counters after a restart.
  const key = hash("sha256", JSON.stringify([config.name, per, parts]), "hex").slice(0, 32);
  return {
    name: config.name,
    key,
    limits,
    bytes: 0,
    amount: 0,
    untilMs: agent.expiresAtMs + config.keep_s * 1000,
  };
}
