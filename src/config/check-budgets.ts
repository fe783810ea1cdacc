// In: the budgets of a configuration whose parts are well-formed. Out: a problem wherever one of them could not be kept.
import type { Report } from "./config-problem.ts";
import type { ConfigView, ParsedConfig } from "./config-view.ts";

type Budget = ParsedConfig["budgets"][number];
type Route = ParsedConfig["routes"][number];

const COUNTS = ["calls_per_minute", "calls_total", "request_bytes_total", "concurrent", "sum"] as const;

export function checkBudgets(view: ConfigView, report: Report): void {
  view.budgets.forEach((budget, index) => {
    if (budget !== undefined) checkBudget(`budgets[${index}]`, budget, view, report);
  });
}

function checkBudget(path: string, budget: Budget, view: ConfigView, report: Report): void {
  if (COUNTS.every((count) => budget[count] === undefined)) {
    report(path, "This budget limits nothing.", `Add one of ${COUNTS.map((count) => `\`${count}\``).join(", ")}.`);
  }
  if (new Set(budget.per).size !== budget.per.length) report(`${path}.per`, "A word stands here twice.", "Remove one.");
  const { routes } = budget.match;
  routes?.forEach((name, place) => {
    // A route that could not be read may be the one; its own problem is told already.
    if (view.routes.includes(undefined) || view.routes.some((route) => route?.name === name)) return;
    report(`${path}.match.routes[${place}]`, "There is no route of this name.", "Correct it, or add the route.");
  });
  for (const route of view.routes) {
    if (route !== undefined && matches(budget, route)) checkOnRoute(path, budget, route, report);
  }
}

function matches({ match }: Budget, route: Route): boolean {
  if (match.routes !== undefined && !match.routes.includes(route.name)) return false;
  // The tools of an MCP server are known by its messages only.
  return match.tools === undefined || route.kind === "mcp" || match.tools.includes(route.tool ?? route.name);
}

/** What is never read cannot be counted. */
function checkOnRoute(path: string, budget: Budget, route: Route, report: Report): void {
  const mend = "Name in `match` the routes and tools that are meant.";
  if (budget.sum !== undefined && route.body === "stream") {
    report(`${path}.sum`, `The route ${route.name} does not read its bodies (\`body: stream\`).`, mend);
  }
  if (budget.request_bytes_total !== undefined && route.upgrade.length > 0) {
    const problem = `Nobody knows beforehand how much a tunnel of the route ${route.name} will carry.`;
    report(`${path}.request_bytes_total`, problem, mend);
  }
}
