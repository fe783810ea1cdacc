// In: `workerData` and the supervisor's messages. Out: exchanges carried on the shared port, alone, until drained.
// The entry of one data thread: it makes the services, listens, and reads its control port.
import type { Server } from "node:http";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { createRecorder } from "../../audit/create-recorder.ts";
import { createContainmentState } from "../../containment/containment-state.ts";
import { createRevocationState } from "../../containment/revocation-state.ts";
import { attachEpoch } from "../../containment/epoch.ts";
import { deny } from "../../errors.ts";
import { createClock } from "../../lib/clock.ts";
import { type ConnectionLimit, createPeerConnections } from "../../lib/limit-connections.ts";
import { createLineBudget } from "../../lib/line-budget.ts";
import { createContainmentGate } from "./containment-gate.ts";
import { createLabelGate } from "./label-gate.ts";
import { createRevocationGate } from "./revocation-gate.ts";
import { FORGET_MS } from "../../containment/revocation-state.ts";
import { createServices } from "./create-services.ts";
import { createServerDrain, type ServerDrain } from "./drain-server.ts";
import { createListener, listen, statusOf } from "./listen.ts";
import { breakExchange, runExchange, runUpgrade } from "../exchange/pipeline.ts";
import { finishExchange } from "../exchange/record-exchange.ts";
import { openSocketFacts } from "../exchange/socket-facts.ts";
import type { Services } from "./services.ts";
import type { DataThreadStart, FromThread, ToThread } from "../thread-messages.ts";
import { createToolGate } from "./tool-gate.ts";

/** How often a thread says that it lives, looks at its open streams and reports whom it saw. */
const BEAT_MS = 50;
const SWEEP_MS = 1000;
/** Denials without a proven caller are recorded as counts of this interval. */
const DENIALS_MS = 10_000;
/** While it drains, how often a thread closes the connections that have nothing in flight. */
const IDLE_CHECK_MS = 50;
/** Between the cut of what outlasts the drain and the end of its connection. */
const LAST_WORDS_MS = 100;

/** One line tells of all connections that were refused in this time. */
const REFUSED_LINE_MS = 10_000;

const start = workerData as DataThreadStart;
const { thread, config } = start;
const clock = createClock(start.clock);
const epoch = attachEpoch(start.shared.epoch);
const revocationEpoch = attachEpoch(start.shared.revocations);
const control: MessagePort = start.control;

function notify(message: FromThread): void {
  parentPort?.postMessage(message);
}

const containment = createContainmentGate({
  state: loadedState(),
  epoch,
  readControl,
  nowMs: clock.nowMs,
});
const revocations = createRevocationGate({
  state: loadedRevocations(),
  epoch: revocationEpoch,
  readControl,
  nowMs: clock.nowMs,
});
const tools = createToolGate({
  config,
  start: start.tools,
  epoch: attachEpoch(start.shared.tools),
  readControl,
  nowMs: clock.nowMs,
  notify,
});
const labels = createLabelGate({ containment, notify });
const recorder = createRecorder(start.audit, { queueEventsMax: config.audit.queue_events_max });
const services = createServices({ start, clock, containment, revocations, labels, tools, recorder, notify });
const servers: Server[] = [];
const drains: ServerDrain[] = [];

function loadedState() {
  const state = createContainmentState();
  state.load(start.containment);
  return state;
}

function loadedRevocations() {
  const state = createRevocationState();
  state.load(start.revocations);
  return state;
}

/** Reads all that waits on the control port, in order. Called from the containment check, and for each message event. */
function readControl(): void {
  for (;;) {
    const received = receiveMessageOnPort(control);
    if (received === undefined) return;
    onControl(received.message as ToThread);
  }
}

function onControl(message: ToThread): void {
  switch (message.type) {
    case "containment":
      if (containment.apply(message.delta) === "gap") {
        // A thread that missed a change cannot know what it does not know: it ends, and its successor gets a snapshot.
        throw new Error(`containment change ${message.delta.epoch} does not follow ${containment.epoch}`);
      }
      sweep(services);
      epoch.acknowledge(thread, containment.epoch);
      break;
    case "revocations":
      if (revocations.apply(message.delta) === "gap") {
        throw new Error(`revocation ${message.delta.epoch} does not follow ${revocations.epoch}`);
      }
      // A renewal ends nothing that is open.
      if (message.delta.events.some((event) => event.kind === "revoked")) sweep(services);
      revocationEpoch.acknowledge(thread, revocations.epoch);
      break;
    case "tools":
      tools.apply(message.delta);
      break;
    case "labelled":
      labels.answered(message.serial, message.outcome);
      break;
    case "policy":
      try {
        services.policy.load(message.policy);
        sweep(services);
        notify({ type: "policy", serial: message.serial });
      } catch (error) {
        notify({ type: "policy", serial: message.serial, error: String(error) });
      }
      break;
    case "audit":
      recorder.reconnect(message.port);
      break;
    case "suspend":
      services.policy.suspend(message.suspension);
      break;
    case "report":
      reportSeen();
      notify({
        type: "report",
        serial: message.serial,
        metrics: services.metrics.snapshot(),
        exchanges: services.inFlight,
        streams: services.open.streams,
      });
      break;
    case "drain":
      void drain(message.timeoutMs);
      break;
  }
}

function sweep(s: Services): void {
  if (s.open.size === 0) return;
  s.open.sweep({
    timeMs: clock.nowMs(),
    monotonicMs: clock.monotonicMs(),
    revision: s.policy.revisionKey,
    verdictFor: (agent) => containment.verdictFor(agent),
    labelsOf: (agent) => labels.see(agent)?.claims.session.labels,
    endOf: (agent) => revocations.checkOpen(agent),
    streamsEndMs: (agent) => revocations.streamsEndMs(agent),
  });
}

function housekeeping(): void {
  sweep(services);
  services.open.sweepBudgets();
  services.ids.keep();
  reportSeen();
}

function reportSeen(): void {
  const seen = services.seen.take();
  if (seen.length > 0) notify({ type: "agents", seen });
}

function recordDenials(): void {
  const event = services.denials.take(clock.nowMs());
  if (event !== null) recorder.record(event);
}

/** SIGTERM: no new connections, what is in flight ends within the limit, then everything is flushed. */
async function drain(timeoutMs: number): Promise<void> {
  services.draining = true;
  services.refusals.flush();
  const closed = drains.map((one) => one.stop());
  let close: NodeJS.Timeout | undefined;
  const cut = setTimeout(() => {
    services.open.cutAll(deny("gateway.draining"));
    // Not in the same breath: who waits for an answer is told why there is none.
    close = setTimeout(() => {
      for (const server of servers) server.closeAllConnections();
    }, LAST_WORDS_MS);
  }, timeoutMs);
  // A client that keeps its connection after its answer would hold the drain until the limit.
  const idle = setInterval(() => {
    for (const one of drains) one.closeIdle();
  }, IDLE_CHECK_MS);
  await Promise.all(closed);
  await services.idle();
  clearTimeout(cut);
  clearTimeout(close);
  clearInterval(idle);
  recordDenials();
  housekeeping();
  // The logs first: a broken audit log must not cost the last lines of the others.
  await services.logs.close().catch(tellUnclosed);
  await recorder.close().catch(tellUnclosed);
  await services.forwarder.close().catch(tellUnclosed);
  notify({
    type: "report",
    serial: -1,
    metrics: services.metrics.snapshot(),
    exchanges: services.inFlight,
    streams: services.open.streams,
  });
  notify({ type: "drained" });
  control.close();
  for (const timer of timers) clearInterval(timer);
}

function tellUnclosed(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  notify({
    type: "service",
    level: "error",
    message: "a part of a data thread was not closed",
    fields: { error: message },
  });
}

const timers: NodeJS.Timeout[] = [];
const refusedLines = createLineBudget(1, REFUSED_LINE_MS);

function tellRefused(listener: string, limit: ConnectionLimit, address: string): void {
  const before = refusedLines.take(clock.monotonicMs());
  if (before === null) return;
  notify({
    type: "service",
    level: "warn",
    message: "a connection was refused",
    fields: { listener, limit: `limits.${limit}`, source_ip: address, refused_before: String(before) },
  });
}

async function main(): Promise<void> {
  if (start.policy !== null) services.policy.load(start.policy);
  for (const suspension of start.suspensions) services.policy.suspend(suspension);
  control.on("message", (message: ToThread) => onControl(message));
  epoch.acknowledge(thread, containment.epoch);
  revocationEpoch.acknowledge(thread, revocations.epoch);
  epoch.beat(thread, clock.monotonicMs());
  timers.push(
    setInterval(() => {
      epoch.beat(thread, clock.monotonicMs());
      services.flight.forget();
    }, BEAT_MS),
    setInterval(housekeeping, SWEEP_MS),
    setInterval(() => {
      revocations.forget();
      containment.forgetLabels();
    }, FORGET_MS),
    setInterval(recordDenials, DENIALS_MS),
  );
  const peers = createPeerConnections(config.limits.connections_per_peer_max);
  // A resumed session knows the leaf of its client alone, and a JWT-SVID is bound by the whole chain.
  const resumesSessions = config.issuers.every(({ kind }) => kind !== "spiffe");
  for (const [index, listener] of config.listeners.entries()) {
    const server = createListener({ ...listener, resumesSessions }, config.limits, peers, {
      request: (facts, request, response, expectsContinue) =>
        void runExchange(services, facts, request, response, expectsContinue),
      upgrade: (facts, request, socket, head) => void runUpgrade(services, facts, request, socket, head),
      refused: (facts, denial, requestId, socket) => {
        const x = openSocketFacts(services, facts, requestId, socket);
        x.reason = denial.reason;
        x.detail = denial.detail ?? "";
        x.status = statusOf(denial);
        finishExchange(services, x);
      },
      broken: breakExchange,
      pace: services.refusals,
      dropped: (facts, limit, address) => {
        services.metrics.connectionRefused(limit);
        tellRefused(facts.name, limit, address);
      },
      nextId: services.nextId,
    });
    servers.push(server);
    drains.push(createServerDrain(server, listener.tls !== undefined));
    await listen(server, listener.address, start.ports[index] ?? listener.port, start.reusePort);
  }
  notify({ type: "listening" });
}

main().catch((error: unknown) => {
  notify({ type: "failed", message: error instanceof Error ? error.message : String(error) });
});
