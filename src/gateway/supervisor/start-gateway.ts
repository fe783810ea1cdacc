// In: a frozen configuration. Out: a running gateway: data threads, writer, issuer, operators' API, and their supervision.
// The main thread carries no traffic. Whatever fails at start ends it with one clear line; later faults mend themselves.
import { randomUUID } from "node:crypto";
import path from "node:path";
import type { ApiOperation } from "../../action/openapi/operation.ts";
import { createContainmentStore } from "../../admin/containment-store.ts";
import { openControlDatabase } from "../../admin/control-database.ts";
import { createOperators } from "../../admin/operators.ts";
import { createAdminServer } from "../../admin/server.ts";
import { createToolStore } from "../../admin/tool-store.ts";
import type { AuditEvent } from "../../audit/recorder.ts";
import { startAuditWriter } from "../../audit/start-audit-writer.ts";
import { readOperations } from "../../config/openapi/read-document.ts";
import type { Config, RouteConfig } from "../../config/schema.ts";
import { attachEpoch } from "../../containment/epoch.ts";
import { createClock, readClockBase } from "../../lib/clock.ts";
import type { LoadedPolicyMessage } from "../../policy/decision.ts";
import { createLogs } from "../../telemetry/create-logs.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";
import { rotateReplayTable, rotationIntervalMs } from "../../token/replay-table.ts";
import { choosePorts, portProblem, threadCount } from "./choose-ports.ts";
import { attachCounterTable } from "../../budget/counter-table.ts";
import { openBudgetLedger } from "./budget-ledger.ts";
import { type CloseStep, closeSteps } from "./close-steps.ts";
import { concludeThread } from "./conclude-thread.ts";
import { createContainmentManager } from "./containment-manager.ts";
import { createRevocationManager } from "./revocation-manager.ts";
import { createControl } from "./control.ts";
import { openDataFolder } from "./data-folder.ts";
import { attachEvaluationWatch } from "../evaluation-watch.ts";
import { flightSlots, takeOpen } from "../in-flight.ts";
import { answerForThread, forgetPending } from "../pending-answers.ts";
import { createPolicyManager } from "./policy-manager.ts";
import { createPolicySwitch } from "./policy-switch.ts";
import { createSeenAgentsTable } from "./seen-agents-table.ts";
import { createSharedMemory } from "../shared-memory.ts";
import { asStartError, StartError } from "./start-error.ts";
import { proofsFrom, startSignOfLife, waitForProofs } from "./sign-of-life.ts";
import { superviseIssuer } from "./supervise-issuer.ts";
import { createThreadMessages } from "./supervise-messages.ts";
import { createThreadPool } from "./thread-pool.ts";
import { createToolManager } from "./tool-manager.ts";
import { createClockWatch } from "./watch-clock.ts";
import { startWatchdog } from "./watchdog.ts";

export interface GatewayOptions {
  readonly config: Config;
  readonly log: ServiceLog;
  readonly version: string;
  /** Takes lines of the access and decision logs whose target is `stdout`. */
  readonly stdout: (lines: string) => void;
}

export interface Gateway {
  /** Base URLs of the traffic listeners, in the order of the configuration. */
  readonly traffic: readonly string[];
  readonly issuer: string | undefined;
  readonly control: string;
  /** Not ready, no new connections, open exchanges finish within the limit, logs flushed. */
  close(): Promise<void>;
}

/** How much longer than its own limit the drain of the data threads may take before the rest is closed all the same. */
const DRAIN_MARGIN_MS = 4000;

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const opened: CloseStep[] = [];
  try {
    return await start(options, opened);
  } catch (error) {
    await closeSteps(opened.toReversed(), options.log);
    throw error;
  }
}

async function start(options: GatewayOptions, opened: CloseStep[]): Promise<Gateway> {
  const { config, log, version } = options;
  const base = readClockBase();
  const operations = config.routes.map(operationsOf);
  const folder = openDataFolder(config.data_folder, base.wallMs);
  if (!folder.ok) throw new StartError(folder.error);
  opened.push({ name: "data folder", close: () => folder.value.close() });

  const clock = createClock(base);
  const proofsFromMs = proofsFrom(config, folder.value, base.wallMs);
  const watchClock = createClockWatch(clock, Date.now, log);
  const signOfLife = startSignOfLife({ folder: folder.value, clock, log, onSign: watchClock });
  opened.push({ name: "sign of life", close: () => signOfLife.close() });

  const threads = threadCount(config);
  const shared = createSharedMemory(config, threads, clock.nowMs());
  const rotation = setInterval(
    () => rotateReplayTable(shared.replay, clock.nowMs()),
    rotationIntervalMs(shared.replay),
  );
  opened.push({ name: "replay table", close: () => clearInterval(rotation) });
  const epoch = attachEpoch(shared.epoch);
  const revocationEpoch = attachEpoch(shared.revocations);
  const evaluation = attachEvaluationWatch(shared.evaluation);

  let onAuditRestarted = (): void => undefined; // no data thread is there yet
  const audit = await startAuditWriter({
    file: config.audit.file,
    commitIntervalMs: config.audit.commit_interval_ms,
    onFault: (fault) => log.error(`audit log: ${fault.message}`, { kind: fault.kind, code: fault.code }),
    onRecovered: () => log.info("audit log: records reach the disk again"),
    onRestarted: () => onAuditRestarted(),
  }).catch(asStartError);
  opened.push({ name: "audit log", close: () => audit.close() });

  // Before anything is served: what the process before this one spent is not there a second time.
  const budgets = shared.budgets === undefined ? undefined : attachCounterTable(shared.budgets, threads);
  const ledger =
    budgets === undefined
      ? undefined
      : await openBudgetLedger({
          file: path.join(config.data_folder, "budgets.json"),
          auditFile: config.audit.file,
          auditSeq: () => audit.health().seq,
          names: new Set(config.budgets.map(({ name }) => name)),
          table: budgets,
          nowMs: clock.nowMs,
          onFault: (error) => log.error("the counters of the budgets cannot be written", { error }),
        }).catch(asStartError);
  if (ledger !== undefined) opened.push({ name: "budgets", close: () => ledger.close() });

  const { database, store, toolStore, operators } = openControlStores(config.data_folder, clock.nowMs());
  opened.push({ name: "control database", close: () => database.close() });
  const containment = createContainmentManager({ store, epoch, clock, pool: () => pool });
  const revocations = createRevocationManager({ epoch: revocationEpoch, clock, pool: () => pool });
  opened.push({ name: "revocations", close: () => revocations.close() });
  const tools = createToolManager({
    config,
    store: toolStore,
    epoch: attachEpoch(shared.tools),
    log,
    audit,
    clock,
    pool: () => pool,
  });

  // The supervisor's own end of the access log: for the exchanges of a thread that can no longer write.
  const logs = createLogs({
    gateway: config.gateway,
    access: config.logs.access,
    decision: "off",
    safeFields: [],
    relay: options.stdout,
    onFault: (message) => log.error(message),
  });
  opened.push({ name: "access log", close: () => logs.close() });

  const concluding = new Set<Promise<void>>();
  const ports = await choosePorts(config, threads > 1);
  const seen = createSeenAgentsTable();
  const policySwitch = createPolicySwitch(() => pool);
  const messages = createThreadMessages({
    log,
    audit,
    containment,
    seen,
    clock,
    policySwitch,
    tools,
    stdout: options.stdout,
  });
  const pool = createThreadPool({
    threads,
    epochs: [epoch, revocationEpoch],
    startData: () => ({
      config,
      operations,
      clock: base,
      proofsFromMs,
      shared,
      containment: containment.snapshot(),
      revocations: revocations.snapshot(),
      tools: tools.snapshot(),
      policy: policySwitch.current,
      suspensions: watchdog.suspensions,
      ports,
      reusePort: threads > 1,
      version,
    }),
    connectAudit: () => audit.connect(),
    onMessage: messages.onMessage,
    onEnding: (thread) => answerForThread(shared.pending, thread.index, randomUUID()),
    onEnd: (thread, why) => {
      evaluation.end(thread.index);
      budgets?.threadEnded(thread.index);
      forgetPending(shared.pending, thread.index);
      const open = takeOpen(shared.flight, thread.index, flightSlots(config));
      messages.onEnd(thread);
      policySwitch.onEnd(thread);
      if (why !== "drained") {
        const exchanges = open.filter((exchange) => exchange.finished === undefined).length;
        const [reason = ""] = why.split("\n");
        log.error("a data thread ended and is replaced", { thread: thread.index, why, exchanges });
        const at = new Date(clock.nowMs()).toISOString();
        audit.record({ type: "thread_ended", at, thread: thread.index, exchanges, reason });
      }
      const concluded = concludeThread(open, why, { config, logs, audit, clock, epoch: containment.epoch })
        .catch((error: unknown) => log.error("what an ended thread had in hand cannot be told", { error }))
        .finally(() => concluding.delete(concluded));
      concluding.add(concluded);
    },
  });
  onAuditRestarted = () => {
    for (const thread of pool.all) {
      if (thread.state !== "replaced") thread.send({ type: "audit", port: audit.connect() });
    }
  };
  const watchdog = startWatchdog({
    pool,
    epoch,
    evaluation,
    budgetMs: config.policy.evaluation_budget_ms,
    revisionKey: () => {
      const revision = policySwitch.current?.revision;
      return revision === undefined ? "" : `${revision.bundle} ${revision.data}`;
    },
    onOverrun: (overrun, suspended) =>
      log.error("a policy evaluation ran too long; its thread is replaced", {
        route: config.routes[overrun.route]?.name ?? "",
        ms: overrun.ms,
        suspended,
      }),
  });
  opened.push({ name: "watchdog", close: () => watchdog.close() });

  const created = await createPolicyManager({
    config,
    activate: (next: LoadedPolicyMessage) => policySwitch.activate(next),
    onChange: ({ by, info, error }) => {
      if (error === undefined) log.info("policy in force", { bundle: info?.bundle, data: info?.data, by });
      else log.error("a policy change was refused; the last good one stays", { by, error });
      audit.record({
        type: "policy",
        at: new Date(clock.nowMs()).toISOString(),
        by,
        bundle: info?.bundle ?? "",
        data: info?.data ?? "",
        outcome: error === undefined ? "activated" : "refused",
      });
    },
  });
  if (!created.ok) throw new StartError(created.error);
  const policy = created.value;
  opened.push({ name: "policy", close: () => created.value.close() });

  await waitForProofs(clock.nowMs, proofsFromMs, (ms) =>
    log.warn("waiting, so that no proof from before the restart is accepted again", { ms }),
  );
  const broker = await superviseIssuer({
    config,
    log,
    clock: base,
    assertionsFromMs: proofsFromMs,
    onFeed: (events) => revocations.feed(events),
  }).catch(asStartError);
  if (broker !== undefined) opened.push({ name: "issuer", close: () => broker.close() });

  let stopping = false;
  opened.push({ name: "data threads", close: () => pool.drain(0) });
  await pool.start().catch((error: unknown) => {
    throw new StartError(portProblem(error, config));
  });

  const traffic = config.listeners.map(
    (listener, index) =>
      `${listener.tls === undefined ? "http" : "https"}://${hostOf(listener.address)}:${ports[index]}`,
  );
  const control = createControl({
    config,
    version,
    base,
    clock,
    pool,
    epoch,
    containment,
    store,
    policy,
    seen,
    audit,
    issuer: broker,
    messages,
    tools,
    shared,
    traffic,
    startedAt: new Date(base.wallMs).toISOString(),
    stopping: () => stopping,
  });
  const admin = await createAdminServer({
    address: config.admin.address,
    port: config.admin.port,
    allowedHosts: config.admin.allowed_hosts,
    control,
    operators,
    logChange: (change) => {
      log.info("operator", { ...change });
      audit.record({ type: changeType(change.action), at: new Date(clock.nowMs()).toISOString(), ...change });
    },
    logFailure: (id, error) => log.error("the operators' API failed", { error_id: id, error }),
    version,
    nowMs: () => clock.nowMs(),
  }).catch((error: unknown) => {
    throw new StartError(portProblem(error, config, config.admin.port));
  });

  return {
    traffic,
    issuer: config.broker === undefined ? undefined : broker?.url,
    control: admin.url,
    async close() {
      stopping = true;
      const drainMs = config.limits.drain_timeout_ms;
      await closeSteps(
        [
          { name: "watchdog", close: () => watchdog.close() },
          { name: "data threads", limitMs: drainMs + DRAIN_MARGIN_MS, close: () => pool.drain(drainMs) },
          { name: "lines of ended threads", close: () => Promise.all(concluding) },
          { name: "policy", close: () => policy.close() },
          { name: "issuer", close: () => broker?.close() },
          { name: "operators' API", close: () => admin.close() },
          { name: "containment", close: () => containment.close() },
          { name: "revocations", close: () => revocations.close() },
          { name: "audit log", close: () => audit.close() },
          { name: "budgets", close: () => ledger?.close() },
          { name: "access log", close: () => logs.close() },
          { name: "replay table", close: () => clearInterval(rotation) },
          { name: "sign of life", close: () => signOfLife.close() },
          { name: "sign of life", close: () => folder.value.end(clock.nowMs()) },
          { name: "control database", close: () => database.close() },
          { name: "data folder", close: () => folder.value.close() },
        ],
        log,
      );
    },
  };
}

function openControlStores(folder: string, nowMs: number) {
  const file = path.join(folder, "control.sqlite");
  try {
    const database = openControlDatabase(file);
    const store = createContainmentStore(database);
    const toolStore = createToolStore(database);
    const operators = createOperators(database, path.join(folder, "operator.key"), nowMs);
    return { database, store, toolStore, operators };
  } catch (error) {
    throw new StartError(`${file} cannot be used: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** `containment.blocked`, `policy.data`, `operators.add`: what was changed is the type of the record. */
function changeType(action: string): AuditEvent["type"] {
  if (action.startsWith("containment.")) return "containment";
  if (action.startsWith("tools.")) return "tools";
  if (action.startsWith("labels.")) return "label";
  return action.startsWith("policy.") ? "policy" : "operator";
}

function hostOf(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Once, for all threads that will ever start: what was checked is what is in force. */
function operationsOf(route: RouteConfig): readonly ApiOperation[] | undefined {
  const operations = readOperations(route);
  if (operations.ok) return operations.value;
  const [first] = operations.error;
  throw new StartError(`the OpenAPI document of the route ${route.name}: ${first?.where} ${first?.problem}`);
}
