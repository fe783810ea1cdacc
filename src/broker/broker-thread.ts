// In: the broker's configuration as worker data. Out: a listening issuer, and log entries as messages.
// The thread of the signing keys: it is the only one that reads them, and nothing it posts contains them.
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { errors, Provider } from "oidc-provider";
import { createClock, readMonotonicMs } from "../lib/clock.ts";
import { createLineBudget, type LineBudget } from "../lib/line-budget.ts";
import { isObject } from "../lib/strict-json.ts";
import { answerCall, keyHandlers } from "./answer-call.ts";
import { applicationHandlers } from "./application-calls.ts";
import type { BrokerLog, BrokerThreadData, FromBroker, ToBroker } from "./broker-message.ts";
import { createBrokerServer } from "./create-broker-server.ts";
import { createProvider } from "./create-provider.ts";
import { createFeed } from "./feed.ts";
import { feedAtStart } from "./feed-at-start.ts";
import { openKeyRing } from "./keys/key-ring.ts";
import { createSigningKey } from "./keys/signing-keys.ts";
import { openGrants } from "./open-grants.ts";
import { readClientKeys } from "./read-client-keys.ts";
import { createReplayStore } from "./replay-store.ts";
import { revokeOrphans } from "./revoke.ts";
import { createKeyHistory } from "./state/key-records.ts";
import { openState } from "./state/open-state.ts";
import { startSweep } from "./state/start-sweep.ts";
import { useProcessClock } from "./use-process-clock.ts";
import { openAuthority } from "./x509/authority.ts";

/** A token request takes milliseconds; after this an open connection is cut. */
const CLOSE_TIMEOUT_MS = 2000;
const LOG_TEXT_CHARACTERS_MAX = 200;
const DAY_MS = 86_400_000;
/** What anyone can cause is told so often in an interval, and then only counted. */
const LINES_MS = 10_000;
const REFUSED_TOKEN_LINES_MAX = 100;
const REFUSED_CONNECTION_LINES_MAX = 1;
const ALERT_LINES_MAX = 20;

const { broker, publicOrigins, dataFolder, clock, assertionsFromMs } = workerData as BrokerThreadData;

function post(message: FromBroker): void {
  parentPort?.postMessage(message);
}

function bounded(text: unknown): string | undefined {
  return typeof text === "string" ? text.slice(0, LOG_TEXT_CHARACTERS_MAX) : undefined;
}

function log(entry: { [K in keyof BrokerLog]: BrokerLog[K] | undefined }): void {
  const known = Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
  post({ type: "log", entry: known as unknown as BrokerLog });
}

/** For what a caller can cause at its own speed. */
function logWithin(budget: LineBudget, entry: Parameters<typeof log>[0]): void {
  const leftOut = budget.take(readMonotonicMs());
  if (leftOut !== null) log({ ...entry, left_out: leftOut === 0 ? undefined : leftOut });
}

function logEvents(provider: Provider): void {
  const refusedTokens = createLineBudget(REFUSED_TOKEN_LINES_MAX, LINES_MS);
  provider.on("client_credentials.issued", (token) => {
    log({
      level: "info",
      event: "token_issued",
      client_id: token.clientId,
      key_thumbprint: (token as { jkt?: string }).jkt,
      jti: token.jti,
      scope: token.scope,
    });
  });
  provider.on("grant.error", (ctx, error: errors.OIDCProviderError) => {
    addCode(ctx, error);
    // The first half of every token request, not a refusal.
    if (error.error === "use_dpop_nonce") return;
    logWithin(refusedTokens, {
      level: "warn",
      event: "token_refused",
      client_id: ctx.oidc.client?.clientId,
      error: bounded(error.error),
      detail: bounded(error.error_detail ?? error.error_description),
    });
  });
  /** Every refusal has one; oidc-provider's own are named by their `error`. */
  const addCode = (ctx: { body: unknown }, error: { code?: unknown; error?: string }) => {
    if (isObject(ctx.body)) ctx.body = { ...ctx.body, code: typeof error.code === "string" ? error.code : error.error };
  };
  provider.on("revocation.error", addCode);
  provider.on("introspection.error", addCode);
  const logFailure = (error: Error) => log({ level: "error", event: "issuer_error", detail: bounded(error.message) });
  provider.on("server_error", (ctx, error) => {
    addCode(ctx, { error: "server_error" });
    logFailure(error);
  });
  // Without a listener Koa would print the error with its stack.
  provider.addListener("error" as "server_error", (error: unknown) => {
    logFailure(error instanceof Error ? error : new Error("unknown"));
  });
}

async function start(): Promise<void> {
  const processClock = createClock(clock);
  useProcessClock(processClock);
  const { nowMs } = processClock;
  const logProblem = ({ message }: Error) => log({ level: "error", event: "issuer_error", detail: bounded(message) });
  const state = openState(dataFolder, nowMs);
  const keyHistory = createKeyHistory(state.keys, nowMs, logProblem);
  const keyRing = await openKeyRing({
    file: join(dataFolder, "broker", "keys.json"),
    create: createSigningKey,
    nowMs,
    rotationMs: broker.key_rotation_days * DAY_MS,
    overlapMs: broker.key_overlap_s * 1000,
    restartOverlapMs: broker.key_overlap_s * 1000,
    onChange: (kid, what) => {
      log({ level: "info", event: "signing_key", detail: `${kid} ${what}` });
      keyHistory.changed();
    },
    onProblem: ({ message }) => log({ level: "error", event: "signing_key", detail: bounded(message) }),
  });
  keyHistory.follow(keyRing);
  const resourceServers = broker.resource_servers.map((server) => ({ ...server, scope: [] }));
  const clientKeys = await readClientKeys([...broker.clients, ...resourceServers]);
  const replayStore = createReplayStore(readMonotonicMs);
  const tellKey = (kid: string, what: string) =>
    log({ level: "info", event: "signing_key", detail: `certificates: ${kid} ${what}` });
  const authority = !broker.x509_svid
    ? undefined
    : await openAuthority({
        dataFolder,
        trustDomain: broker.trust_domain,
        nowMs,
        onChange: tellKey,
        onProblem: ({ message }) => log({ level: "error", event: "signing_key", detail: bounded(message) }),
      });
  const feed = createFeed(post);
  const alerts = createLineBudget(ALERT_LINES_MAX, LINES_MS);
  const grants = await openGrants({
    broker,
    publicOrigins,
    keyRing,
    state,
    authority,
    feed,
    nowMs,
    tell: (entry) => (entry.level === "info" ? log(entry) : logWithin(alerts, entry)),
  });
  const provider = createProvider({
    broker,
    publicOrigins,
    keyRing,
    clientKeys,
    replayStore,
    assertionsFromMs,
    grants,
  });
  logEvents(provider);
  const refusedConnections = createLineBudget(REFUSED_CONNECTION_LINES_MAX, LINES_MS);
  const server = createBrokerServer({
    provider,
    issuer: broker.issuer,
    keyRing,
    keyOverlapS: broker.key_overlap_s,
    authority,
    onConnectionRefused: (limit, address) =>
      logWithin(refusedConnections, { level: "warn", event: "connection_refused", detail: `${limit}: ${address}` }),
  });

  const sweep = startSweep(state, nowMs, logProblem);
  const clientIds = new Set([...broker.clients, ...broker.resource_servers].map(({ client_id: id }) => id));
  const handlers = { ...keyHandlers(keyRing), ...applicationHandlers(grants, clientIds) };
  parentPort?.on("message", (message: ToBroker) => {
    if (message.type === "call") void answerCall(handlers, message, logProblem).then(post);
    else if (message.type === "fed") feed.fed(message.id);
    else close();
  });

  function close(): void {
    keyRing.close();
    authority?.close();
    sweep.close();
    server.close(() => void state.close().then(() => parentPort?.close()));
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS).unref();
  }

  if (!(await feedAtStart(grants))) {
    log({ level: "error", event: "feed_failed", detail: "the gateway did not take what was revoked before" });
  }
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: broker.address, port: broker.port, backlog: server.maxConnections }, resolve);
  });
  server.on("error", logProblem);

  await revokeOrphans(grants, "the application is gone", "the issuer");
  const { address, port, family } = server.address() as AddressInfo;
  post({ type: "ready", url: `http://${family === "IPv6" ? `[${address}]` : address}:${port}` });
}

start().catch((error: NodeJS.ErrnoException) => {
  post({ type: "failed", code: error.code ?? "broker_failed", message: error.message });
  parentPort?.close();
});
