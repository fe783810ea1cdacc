// In: the broker's configuration. Out: a running issuer, and a successor for one whose thread ended.
// While it is away, tokens that were issued stay valid: the data threads keep its keys (stale while unreachable).
import { ASSERTIONS_AHEAD_S } from "../../broker/assertion-window.ts";
import { type BrokerCall, ISSUER_AWAY } from "../../broker/broker-calls.ts";
import { type Broker, startBroker } from "../../broker/start-broker.ts";
import type { Config } from "../../config/schema.ts";
import type { FeedEvent } from "../../containment/revocation.ts";
import { type ClockBase, createClock } from "../../lib/clock.ts";
import { err } from "../../lib/result.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";

export interface SupervisedIssuer {
  readonly url: string;
  /** False while its thread is gone: nobody gets a token, and those that were issued stay valid. */
  readonly running: boolean;
  /** Asks the issuer's thread; fails at once while it is away. */
  readonly call: BrokerCall;
  close(): Promise<void>;
}

/** How long after its end, or after a failed try, the issuer is started again. */
const RESTART_MS = 1000;

export interface IssuerOptions {
  readonly config: Config;
  readonly log: ServiceLog;
  readonly clock: ClockBase;
  /** Older client assertions are refused, since what was used before a restart is forgotten. */
  readonly assertionsFromMs: number;
  /** Resolves once every data thread enforces the events. */
  readonly onFeed: (events: readonly FeedEvent[]) => Promise<void>;
}

/** Undefined where none is configured. Rejects where the first start fails. */
export async function superviseIssuer(options: IssuerOptions): Promise<SupervisedIssuer | undefined> {
  const { config, log, clock, assertionsFromMs, onFeed } = options;
  const { broker } = config;
  if (broker === undefined) return undefined;
  const { nowMs } = createClock(clock);
  let running: Broker | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  async function start(fromMs: number): Promise<Broker> {
    return startBroker({
      broker: broker as NonNullable<typeof broker>,
      publicOrigins: config.public_origins,
      dataFolder: config.data_folder,
      clock,
      assertionsFromMs: fromMs,
      onLog: ({ level, event, alert, ...fields }) => {
        log[level](`issuer: ${event}`, fields);
        if (alert !== undefined) log.warn("alert", { severity: alert, event, ...fields });
      },
      onFeed,
      onExit: (error) => {
        running = undefined;
        log.error("the issuer ended and is started again; tokens that were issued stay valid", { error });
        restartLater();
      },
    });
  }

  function restartLater(): void {
    if (closed) return;
    timer = setTimeout(() => {
      // The one that ended may have accepted assertions that were dated so far ahead of its end.
      start(nowMs() + ASSERTIONS_AHEAD_S * 1000).then(
        async (again) => {
          if (closed) await again.close();
          else {
            running = again;
            log.info("the issuer runs again");
          }
        },
        (error: unknown) => {
          log.error("the issuer cannot be started", { error });
          restartLater();
        },
      );
    }, RESTART_MS);
  }

  running = await start(assertionsFromMs);
  return {
    url: running.url,
    get running() {
      return running !== undefined;
    },
    call: async (method, params) => (running === undefined ? err(ISSUER_AWAY) : running.call(method, params)),
    async close() {
      closed = true;
      clearTimeout(timer);
      await running?.close();
    },
  };
}
