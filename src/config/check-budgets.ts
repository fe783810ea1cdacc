// In: the budgets of a configuration whose parts are well-formed. Out: a problem wherever one of them could not be kept.
import type { Report } from "./config-problem.ts";
import type { ConfigView, ParsedConfig } from "./config-view.ts";

type Budget = ParsedConfig["budgets"][number];
type Route = ParsedConfig["routes"][number];

const TOTALS = ["calls_total", "request_bytes_total", "sum"] as const;
const COUNTS = ["calls_per_minute", "concurrent", ...TOTALS] as const;

export function checkBudgets(view: ConfigView, report: Report): void {
  view.budgets.forEach((budget, index) => {
    if (budget !== undefined) checkBudget(`budgets[${index}]`, budget, view, report);
  });
}

function checkBudget(path: string, budget: Budget, view: ConfigView, report: Report): void {
  if (COUNTS.every((count) => budget[count] === undefined)) {
    report(path, "This budget limits nothing.", `Add one of ${COUNTS.map((count) => `\`${count}\``).join(", ")}.`);
  }
  if (budget.ends_streams && TOTALS.every((total) => budget[total] === undefined)) {
    const mend = `Add one of ${TOTALS.map((total) => `\`${total}\``).join(", ")}, or remove it.`;
    report(`${path}.ends_streams`, "This budget has no total that could be used up.", mend);
  }
  if (new Set(budget.per).size !== budget.per.length) report(`${path}.per`, "A word stands here twice.", "Remove one.");
  const matched = view.routes.filter((route) => route !== undefined && matches(budget, route));
  for (const route of matched) if (route !== undefined) checkOnRoute(path, budget, route, report);
  // A route that could not be read may be the one that is meant; its own problem is told already.
  if (view.routes.includes(undefined)) return;
  const unknown = (budget.match.routes ?? []).filter((name) => !view.routes.some((route) => route?.name === name));
  for (const name of unknown) {
    const place = budget.match.routes?.indexOf(name);
    report(`${path}.match.routes[${place}]`, "There is no route of this name.", "Correct it, or add the route.");
  }
  if (matched.length > 0 || unknown.length > 0) return;
  const mend = "Name tools as policy sees them: `tool` of a route, or its name.";
  report(`${path}.match`, "No route has such a tool, so this budget would never count.", mend);
}

function matches({ match }: Budget, route: Route): boolean {
  if (match.routes !== undefined && !match.routes.includes(route.name)) return false;
  // The tools of an MCP server are known by its messages only, and operations by their document.
  if (route.kind === "mcp" || route.openapi !== undefined) return true;
  return match.tools === undefined || match.tools.includes(route.tool ?? route.name);
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
