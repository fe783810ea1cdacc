// In: what the data threads saw of servers' tools, and what operators accept. Out: one state for all threads, on disk, and
// every change told: a line, an alert, a record. What tightens is enforced first and then written; what loosens is written first.
import { type PinMode, stateOf, type ToolNews, ToolPins, type ToolRecord } from "../../action/mcp/tool-pins.ts";
import type { ToolFacts, ToolProblem, ToolServer, ToolShown } from "../../admin/control-plane.ts";
import type { ToolStore } from "../../admin/tool-store.ts";
import type { AuditWriter } from "../../audit/audit-writer.ts";
import { TOOL_PINS } from "../../config/mcp-schema.ts";
import type { Config } from "../../config/schema.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import type { Clock } from "../../lib/clock.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";
import type { ThreadPool } from "./thread-pool.ts";
import type { ToolsOfAll, ToolsReport } from "../thread-messages.ts";

export interface ToolManager {
  /** For a thread that starts. */
  snapshot(): ToolsOfAll;
  report(report: ToolsReport): void;
  list(): ToolServer[];
  show(route: string): Result<ToolShown[], ToolProblem>;
  accept(
    route: string,
    tool: string | undefined,
    digest: string | undefined,
    by: string,
  ): Result<string[], ToolProblem>;
}

interface Server {
  readonly route: string;
  readonly pin: PinMode;
  readonly onDrift: "block" | "log";
  readonly pins: ToolPins;
  /** Changes that the disk did not take. */
  readonly unsaved: Set<string>;
  /** Tools that cannot be pinned; told once. */
  readonly refused: Set<string>;
}

/** Lists of which not all pages came yet. Agents that end in the middle leave theirs behind. */
const WALKS_MAX = 256;
const WALK_NAMES_MAX = 4096;
/** Of one list, names that stand in the log. */
const NAMES_TOLD_MAX = 20;
const REFUSED_MAX = 1000;

const ALERTS: Readonly<Record<ToolNews, string | null>> = {
  pinned: null,
  returned: null,
  new: "medium",
  changed: "high",
  vanished: "low",
  refused: "high",
};

export function createToolManager(options: {
  readonly config: Config;
  readonly store: ToolStore;
  readonly epoch: EpochWords;
  readonly log: ServiceLog;
  readonly audit: AuditWriter;
  readonly clock: Clock;
  readonly pool: () => ThreadPool;
}): ToolManager {
  const { config, store, epoch, log, audit, clock, pool } = options;
  const servers = new Map<string, Server>();
  const walks = new Map<string, Set<string>>();
  let serial = 0;
  for (const { kind, mcp, name: route } of config.routes) {
    const { pin, on_drift: onDrift } = mcp?.tools ?? TOOL_PINS;
    if (kind !== "mcp" || pin === "off") continue;
    servers.set(route, {
      route,
      pin,
      onDrift,
      pins: new ToolPins(pin, store.load(route)),
      unsaved: new Set(),
      refused: new Set(),
    });
  }

  function enforce({ route, pins }: Server, names: ReadonlySet<string>): void {
    serial += 1;
    const records = [...names].flatMap((name) => pins.find(name) ?? []);
    const removed = [...names].filter((name) => pins.find(name) === undefined);
    const { firstMs, complete } = pins.snapshot();
    // Posted before it is published: a thread that sees the number finds the message.
    pool().broadcast({ type: "tools", delta: { serial, route, records, removed, firstMs, complete } });
    epoch.publish(serial);
  }

  function save({ route, pins, unsaved }: Server, names: ReadonlySet<string>): void {
    for (const name of names) unsaved.add(name);
    try {
      store.save(route, pins.snapshot(), unsaved);
      unsaved.clear();
    } catch (error) {
      // Enforced all the same; the next change tries again.
      log.error("what is pinned of a server's tools cannot be written", { route, error });
    }
  }

  function tell({ route, pins }: Server, news: ToolNews, names: readonly string[]): void {
    const told = names.slice(0, NAMES_TOLD_MAX);
    const fields = { route, change: news, count: String(names.length), tools: told.join(" ") };
    const severity = ALERTS[news];
    if (severity === null) log.info("tools of a server", fields);
    else log.warn("alert", { severity, alert: "tool_drift", ...fields });
    audit.record({
      type: "tools",
      at: new Date(clock.nowMs()).toISOString(),
      route,
      change: news,
      count: names.length,
      tools: told.map((name) => ({ name, ...digests(pins.find(name)) })),
    });
  }

  /** The names of a list whose last page this is; undefined while others are missing. */
  function wholeOf(route: string, { agent, cursor, next, names }: NonNullable<ToolsReport["page"]>) {
    const keyOf = (at: string): string => JSON.stringify([route, agent, at]);
    const before = cursor === null ? new Set<string>() : walks.get(keyOf(cursor));
    if (before === undefined) return undefined;
    const all = new Set([...before, ...names]);
    if (next === null) return all;
    if (all.size > WALK_NAMES_MAX) return undefined;
    walks.delete(keyOf(next));
    walks.set(keyOf(next), all);
    for (const oldest of walks.keys()) {
      if (walks.size <= WALKS_MAX) break;
      walks.delete(oldest);
    }
    return undefined;
  }

  function known(route: string): Result<Server, ToolProblem> {
    const server = servers.get(route);
    if (server !== undefined) return ok(server);
    return err({ status: 404, code: "no_tools", detail: `Route ${route} pins no tools: it is none, or not of MCP.` });
  }

  return {
    snapshot: () => ({
      serial,
      routes: Object.fromEntries([...servers].map(([route, { pins }]) => [route, pins.snapshot()])),
    }),

    report({ route: index, items, unfit, page }) {
      const server = servers.get(config.routes[index]?.name ?? "");
      if (server === undefined) return;
      const { pins, refused } = server;
      const now = clock.nowMs();
      const wasComplete = pins.complete;
      const changes: { name: string; news: ToolNews }[] = [];
      for (const { name, definition } of items) {
        const before = pins.find(name);
        const change = pins.see(name, definition, now);
        // A tool that goes on changing while it waits to be accepted is told once.
        const waits = before !== undefined && before.seen !== null && change?.news !== "refused";
        if (change !== null && !waits) changes.push(change);
      }
      for (const name of unfit) changes.push({ name, news: "refused" });
      const whole = page === undefined ? undefined : wholeOf(server.route, page);
      if (whole !== undefined) changes.push(...pins.seeWhole(whole, now));
      // Also what did not change here: the thread that saw it may hold another view of it.
      const names = new Set([...items.map(({ name }) => name), ...changes.map(({ name }) => name)]);
      if (names.size > 0 || pins.complete !== wasComplete) {
        enforce(server, names);
        save(server, names);
      }
      const news = Map.groupBy(changes, (change) => change.news);
      for (const [kind, some] of news) {
        const told = some.map(({ name }) => name).filter((name) => kind !== "refused" || isFirst(refused, name));
        if (told.length > 0) tell(server, kind, told);
      }
    },

    list: () =>
      [...servers.values()].map(({ route, pin, onDrift, pins }) => ({
        route,
        pin,
        on_drift: onDrift,
        complete: pins.complete,
        tools: pins.snapshot().records.map(factsOf),
      })),

    show(route) {
      const server = known(route);
      if (!server.ok) return server;
      const waiting = server.value.pins.snapshot().records.filter((record) => stateOf(record) !== "pinned");
      return ok(
        waiting.map((record) => ({
          ...factsOf(record),
          pinned_definition: record.pinned?.text ?? "",
          seen_definition: record.seen?.text ?? "",
        })),
      );
    },

    accept(route, tool, digest, by) {
      const server = known(route);
      if (!server.ok) return server;
      const { pins } = server.value;
      const waiting = pins.snapshot().records.filter((record) => stateOf(record) !== "pinned");
      const chosen = waiting.filter(({ name }) => tool === undefined || name === tool);
      if (chosen.length === 0) {
        return err({
          status: 404,
          code: "nothing_to_accept",
          detail: `No such tool of ${route} waits to be accepted.`,
        });
      }
      if (digest !== undefined && (tool === undefined || chosen[0]?.seen?.digest !== digest)) {
        const detail = `${tool ?? "The tool"} is not what it was: its definition has another digest now.`;
        return err({ status: 409, code: "tool_changed", detail });
      }
      for (const { name } of chosen) pins.accept(name, by, clock.nowMs());
      const names = new Set(chosen.map(({ name }) => name));
      try {
        store.save(route, pins.snapshot(), new Set([...names, ...server.value.unsaved]));
        server.value.unsaved.clear();
      } catch (error) {
        for (const record of chosen) pins.put(record);
        log.error("an accepted tool cannot be written", { route, error });
        return err({ status: 503, code: "not_applied", detail: "It cannot be written; nothing changed." });
      }
      enforce(server.value, names);
      return ok([...names]);
    },
  };
}

function isFirst(told: Set<string>, name: string): boolean {
  if (told.has(name) || told.size >= REFUSED_MAX) return false;
  told.add(name);
  return true;
}

function digests(record: ToolRecord | undefined): { pinned: string; seen: string } {
  return { pinned: record?.pinned?.digest ?? "", seen: record?.seen?.digest ?? "" };
}

function factsOf(record: ToolRecord): ToolFacts {
  return {
    name: record.name,
    state: stateOf(record),
    ...digests(record),
    by: record.by,
    at: new Date(record.atMs).toISOString(),
  };
}
