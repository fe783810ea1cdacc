// In: nothing; types only. Out: what one data thread holds for its whole life, and what it knows of one exchange.
// The services are made once at start; the facts of an exchange exist for its log line and decide nothing.
import type { RouteInput } from "../../action/build-input.ts";
import type { RouteTable } from "../../action/match-route.ts";
import type { McpList, McpVersion } from "../../action/mcp/methods.ts";
import type { RpcId } from "../../action/mcp/parse-message.ts";
import type { McpCall } from "../../action/mcp/read-call.ts";
import type { OperationTable } from "../../action/openapi/operation-table.ts";
import type { Recorder } from "../../audit/recorder.ts";
import type { Reservation } from "../../budget/counter-table.ts";
import type { Config, RouteConfig } from "../../config/schema.ts";
import type { Denial, Reason } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { PolicyRevision } from "../../policy/decision.ts";
import type { Logs, Outcome } from "../../telemetry/log-entries.ts";
import type { ThreadMetrics } from "../../telemetry/metric-snapshot.ts";
import type { TraceContext } from "../../telemetry/trace-context.ts";
import type { Agent } from "../../token/agent.ts";
import type { Authenticate } from "../../token/authenticate.ts";
import type { Forwarder, UpstreamTarget } from "../../upstream/forwarder.ts";
import type { KeptPages } from "../../upstream/kept-pages.ts";
import type { AgentLoad } from "./agent-load.ts";
import type { BudgetGate } from "./budget-gate.ts";
import type { ContainmentGate } from "./containment-gate.ts";
import type { DenialCounter } from "./denial-counter.ts";
import type { SessionBinding } from "../exchange/mcp-session.ts";
import type { InFlight } from "../in-flight.ts";
import type { LabelGate } from "./label-gate.ts";
import type { LimitedLine } from "./limit-lines.ts";
import type { OpenExchanges } from "./open-exchanges.ts";
import type { OpenId, OpenIds } from "./open-ids.ts";
import type { PendingAnswers } from "../pending-answers.ts";
import type { PolicyGate } from "./policy-gate.ts";
import type { ItemFacts } from "../exchange/read-message.ts";
import type { RevocationGate } from "./revocation-gate.ts";
import type { RefusalPace } from "./refusal-pace.ts";
import type { MetadataOfOrigin } from "../exchange/resource-metadata.ts";
import type { SeenAgents } from "./seen-agents.ts";
import type { FromThread } from "../thread-messages.ts";
import type { ToolGate } from "./tool-gate.ts";

export interface Route {
  /** Position in the configuration; how threads and supervisor name a route to each other. */
  readonly index: number;
  readonly config: RouteConfig;
  readonly input: RouteInput;
  readonly target: UpstreamTarget;
  readonly methods: ReadonlySet<string>;
  /** Host of the one origin under which the route is served, or undefined for all. */
  readonly host: string | undefined;
  /** Only on a route of kind `mcp`. */
  readonly mcp: McpRoute | undefined;
  /** Only on a route that names an OpenAPI document. */
  readonly operations: OperationTable | undefined;
}

export interface McpRoute {
  readonly versions: readonly McpVersion[];
  /** `Origin` values that are taken. */
  readonly origins: ReadonlySet<string>;
  /** `input.action.server`. */
  readonly server: string;
}

/** What an answer on a route of kind `mcp` needs: the id to repeat, and of the logs what was asked. */
export interface RpcFacts {
  readonly id: RpcId | undefined;
  readonly call: McpCall | undefined;
}

/** One public origin; `Host` selects one of them and never composes one. */
export interface PublicOrigin {
  readonly origin: string;
  readonly host: string;
  readonly metadata: MetadataOfOrigin;
}

export interface ListenerFacts {
  readonly name: string;
  readonly scheme: "http" | "https";
  readonly clientCertificates: boolean;
}

export interface Services {
  readonly thread: number;
  readonly config: Config;
  readonly clock: Clock;
  readonly routes: RouteTable<Route>;
  /** By `scheme host` and, as a fallback, by host alone. Lower case. */
  readonly origins: ReadonlyMap<string, PublicOrigin>;
  readonly authenticate: Authenticate;
  readonly containment: ContainmentGate;
  readonly budgets: BudgetGate;
  readonly revocations: RevocationGate;
  readonly labels: LabelGate;
  readonly sessions: SessionBinding;
  readonly ids: OpenIds;
  readonly tools: ToolGate;
  readonly pages: KeptPages<McpList, ItemFacts>;
  readonly policy: PolicyGate;
  readonly recorder: Recorder;
  readonly logs: Logs;
  readonly metrics: ThreadMetrics;
  readonly forwarder: Forwarder;
  readonly monitor: UpstreamTarget | undefined;
  readonly open: OpenExchanges;
  readonly load: AgentLoad;
  readonly pending: PendingAnswers;
  readonly flight: InFlight;
  readonly denials: DenialCounter;
  readonly refusals: RefusalPace;
  readonly seen: SeenAgents;
  readonly nextId: () => string;
  /** Resolves when the sockets of this turn of the event loop are read: see src/lib/loop-turn.ts. */
  readonly beginTurn: () => Promise<void>;
  readonly endTurn: () => Promise<void>;
  readonly notify: (message: FromThread) => void;
  /** What a caller can cause with each of its exchanges; within a budget. */
  readonly tell: (line: LimitedLine) => void;
  /** True after SIGTERM: exchanges in flight end, new ones are refused. */
  draining: boolean;
  inFlight: number;
  /** Resolves when no exchange is in flight. */
  idle(): Promise<void>;
  /** Called by the pipeline for each exchange that ended. */
  ended(): void;
}

/** What is known of one exchange so far, for its log lines. Steps return values; only the pipeline writes here. */
export interface ExchangeFacts {
  readonly requestId: string;
  readonly timeMs: number;
  /** `performance.now()` at the start. */
  readonly startedAt: number;
  readonly listener: ListenerFacts;
  method: string;
  readonly sourceIp: string;
  httpVersion: string;
  trace: TraceContext;
  decisionId: string;
  route: Route | undefined;
  host: string;
  path: string;
  agent: Agent | undefined;
  containmentMode: "active" | "draining" | "quarantined" | "blocked" | "";
  revision: PolicyRevision | undefined;
  status: number;
  outcome: Outcome;
  reason: Reason | "";
  detail: string;
  bytesIn: number;
  bytesOut: number;
  upstreamUs: number;
  errorId: string;
  /** Slot of `Services.flight`. */
  flightSlot: number;
  /** Its outcome is recorded. */
  concluded: boolean;
  /** An intent may stand in the audit log, so an outcome has to follow. */
  intended: boolean;
  /** `Services.load` counts it among those of its agent. */
  entered: boolean;
  /** What `Services.load` counts of its body. */
  bodyBytes: number;
  /** Whether `Services.pending` still counts this exchange. */
  answerOwed: boolean;
  /** What the connection did to the body of this request; it is told instead of "the client closed". */
  broken: Denial | undefined;
  /** Of a proven caller on a route of kind `mcp`: denials are told as JSON-RPC. */
  rpc: RpcFacts | undefined;
  /** Of a proven caller on a route with an OpenAPI document: the route with the operation as its tool. */
  operation: RouteInput | undefined;
  /** What its budgets hold for it, until it ends. */
  reservation: Reservation | undefined;
  /** Of a request in a session of MCP: its id, which no other may use now. */
  openId: OpenId | undefined;
  /** A byte may have reached the tool: from then on it is never called denied. */
  sent: boolean;
}
