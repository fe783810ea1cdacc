// In: what the supervisor handed to this thread. Out: its services, all of them, wired once.
import { createRouteInput } from "../../action/build-input.ts";
import { createRouteTable } from "../../action/match-route.ts";
import { MCP_VERSIONS } from "../../action/mcp/methods.ts";
import type { ApiOperation } from "../../action/openapi/operation.ts";
import { createOperationTable } from "../../action/openapi/operation-table.ts";
import { parsePathTemplate } from "../../action/path-template.ts";
import type { Recorder } from "../../audit/recorder.ts";
import { readSecret } from "../../config/read-secret.ts";
import type { Config, RouteConfig, UpstreamConfig } from "../../config/schema.ts";
import type { Clock } from "../../lib/clock.ts";
import { createEvaluator } from "../../policy/evaluator.ts";
import { createLogs } from "../../telemetry/create-logs.ts";
import { createIdGenerator } from "../../telemetry/request-id.ts";
import { createThreadMetrics } from "../../telemetry/thread-metrics.ts";
import { createForwarder, type Forwarder, type UpstreamTarget } from "../../upstream/forwarder.ts";
import { KeptPages } from "../../upstream/kept-pages.ts";
import { attachCounterTable } from "../../budget/counter-table.ts";
import { createBudgetGate } from "./budget-gate.ts";
import type { ContainmentGate } from "./containment-gate.ts";
import type { RevocationGate } from "./revocation-gate.ts";
import { createAgentLoad } from "./agent-load.ts";
import { createThreadAuthenticator } from "./create-authenticator.ts";
import { createDenialCounter } from "./denial-counter.ts";
import { attachEvaluationWatch } from "../evaluation-watch.ts";
import { attachIdClaims } from "../id-claims.ts";
import { attachInFlight, flightSlots } from "../in-flight.ts";
import type { LabelGate } from "./label-gate.ts";
import { limitLines } from "./limit-lines.ts";
import { createLoopTurn } from "../../lib/loop-turn.ts";
import { createOpenExchanges } from "./open-exchanges.ts";
import { createOpenIds } from "./open-ids.ts";
import { createSessionBinding } from "../exchange/mcp-session.ts";
import { attachPendingAnswers } from "../pending-answers.ts";
import { createPolicyGate } from "./policy-gate.ts";
import { createRefusalPace } from "./refusal-pace.ts";
import { createResourceMetadata } from "../exchange/resource-metadata.ts";
import { createSeenAgents } from "./seen-agents.ts";
import type { McpRoute, PublicOrigin, Route, Services } from "./services.ts";
import type { DataThreadStart, FromThread } from "../thread-messages.ts";
import type { ToolGate } from "./tool-gate.ts";

export function createServices(given: {
  readonly start: DataThreadStart;
  readonly clock: Clock;
  readonly containment: ContainmentGate;
  readonly revocations: RevocationGate;
  readonly labels: LabelGate;
  readonly tools: ToolGate;
  readonly recorder: Recorder;
  readonly notify: (message: FromThread) => void;
}): Services {
  const { start, clock, containment, revocations, labels, tools, recorder, notify } = given;
  const { config, thread } = start;
  const service = (level: "warn" | "error", message: string): void =>
    notify({ type: "service", level, message, fields: { thread: String(thread) } });
  const forwarder = createForwarder();
  let whenIdle: (() => void)[] = [];

  const services: Services = {
    thread,
    config,
    clock,
    routes: createRouteTable(
      config.routes.map((route, index) => createRoute(forwarder, config, route, index, start.operations[index])),
    ),
    origins: originsOf(config),
    authenticate: createThreadAuthenticator(start, (message) => service("warn", message)),
    containment,
    budgets: createBudgetGate(
      config,
      start.shared.budgets === undefined ? undefined : attachCounterTable(start.shared.budgets, thread),
    ),
    revocations,
    labels,
    tools,
    pages: new KeptPages(),
    sessions: createSessionBinding(start.shared.sessionKey),
    ids: createOpenIds(attachIdClaims(start.shared.ids, start.shared.replayKey, clock.nowMs), clock.nowMs),
    policy: createPolicyGate({
      thread,
      watch: attachEvaluationWatch(start.shared.evaluation),
      monotonicMs: clock.monotonicMs,
      budgetMs: config.policy.evaluation_budget_ms,
      inputBytesMax: config.policy.input_bytes_max,
      memoryPagesMax: config.policy.memory_pages_max,
      createEvaluator,
    }),
    recorder,
    logs: createLogs({
      gateway: config.gateway,
      access: config.logs.access,
      decision: config.logs.decision,
      safeFields: config.logs.safe_fields,
      relay: (lines) => notify({ type: "log", lines }),
      onFault: (message) => service("error", message),
    }),
    metrics: createThreadMetrics(),
    forwarder,
    monitor: config.quarantine === undefined ? undefined : prepare(forwarder, config.quarantine.monitor),
    open: createOpenExchanges(config.limits.block_grace_ms),
    load: createAgentLoad(config.limits),
    pending: attachPendingAnswers(start.shared.pending, thread),
    flight: attachInFlight(start.shared.flight, thread, flightSlots(config)),
    denials: createDenialCounter(clock.nowMs()),
    refusals: createRefusalPace(() => performance.eventLoopUtilization()),
    seen: createSeenAgents(),
    nextId: createIdGenerator(),
    beginTurn: createLoopTurn(),
    endTurn: createLoopTurn(),
    notify,
    tell: limitLines(notify, clock.monotonicMs),
    draining: false,
    inFlight: 0,
    idle() {
      return services.inFlight === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve));
    },
    ended() {
      services.inFlight--;
      if (services.inFlight > 0 || whenIdle.length === 0) return;
      for (const resolve of whenIdle) resolve();
      whenIdle = [];
    },
  };
  return services;
}

function createRoute(
  forwarder: Forwarder,
  { public_origins }: Config,
  config: RouteConfig,
  index: number,
  operations: readonly ApiOperation[] | undefined,
) {
  const template = parsePathTemplate(config.path);
  if (!template.ok) throw new Error(`route ${config.name}: ${template.error}`);
  const input = createRouteInput(config);
  const route: Route = {
    index,
    config,
    input,
    target: prepare(forwarder, config.upstream),
    methods: new Set<string>(config.methods),
    host: config.host === undefined ? undefined : new URL(config.host).host,
    mcp: config.kind === "mcp" ? createMcpRoute(config, public_origins) : undefined,
    operations: operations === undefined ? undefined : createOperationTable(operations, input),
  };
  return { route, template: template.value };
}

function createMcpRoute({ mcp, name, resource }: RouteConfig, publicOrigins: readonly string[]): McpRoute {
  return {
    versions: mcp?.versions ?? MCP_VERSIONS,
    origins: new Set([...publicOrigins, ...(mcp?.allowed_origins ?? [])].map((text) => new URL(text).origin)),
    server: resource.attributes["server"] ?? name,
  };
}

function prepare(forwarder: Forwarder, upstream: UpstreamConfig): UpstreamTarget {
  if (upstream.credential === undefined) return forwarder.prepare(upstream, undefined);
  const secret = readSecret(upstream.credential.from, process.env);
  if (!secret.ok) throw new Error(`the credential for ${upstream.url}: ${secret.error}`);
  return forwarder.prepare(upstream, secret.value);
}

/** A listener's scheme chooses between origins that share a host; behind a TLS terminator the host alone decides. */
function originsOf(config: Config): Map<string, PublicOrigin> {
  const origins = new Map<string, PublicOrigin>();
  for (const text of config.public_origins) {
    const url = new URL(text);
    const metadata = createResourceMetadata(config, url.origin);
    const origin = { origin: url.origin, host: url.host, metadata };
    const scheme = url.protocol.slice(0, -1);
    const port = url.port || (scheme === "https" ? "443" : "80");
    for (const host of [url.host, `${url.hostname}:${port}`]) {
      origins.set(`${scheme} ${host}`, origin);
      if (!origins.has(host)) origins.set(host, origin);
    }
  }
  return origins;
}
