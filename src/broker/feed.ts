// In: credentials that were ended or replaced. Out: a promise that resolves once every data thread enforces it.
// What is fed is on disk already: a supervisor that does not answer delays the caller, and takes nothing back.
import type { FeedEvent } from "../containment/revocation.ts";
import type { FromBroker } from "./broker-message.ts";

/** A data thread that is silent is ended within a second, which counts as its acknowledgement; this is far beyond it. */
const FED_TIMEOUT_MS = 8000;
/** Events in one message: a task of many thousand agents must not block either thread for long. */
const EVENTS_PER_MESSAGE = 1000;

export interface Feed {
  /** False where the gateway did not say in time that it enforces them; it was told, and will be again at the next start. */
  send(events: readonly FeedEvent[]): Promise<boolean>;
  /** Takes the supervisor's answer. */
  fed(id: number): void;
}

export function createFeed(post: (message: FromBroker) => void, timeoutMs = FED_TIMEOUT_MS): Feed {
  const waiting = new Map<number, (enforced: boolean) => void>();
  let lastId = 0;

  function sendOne(events: readonly FeedEvent[]): Promise<boolean> {
    const id = ++lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(false), timeoutMs);
      const settle = (enforced: boolean): void => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(enforced);
      };
      waiting.set(id, settle);
      post({ type: "feed", id, events });
    });
  }

  return {
    async send(events) {
      const sent: Promise<boolean>[] = [];
      for (let at = 0; at < events.length; at += EVENTS_PER_MESSAGE) {
        sent.push(sendOne(events.slice(at, at + EVENTS_PER_MESSAGE)));
      }
      return (await Promise.all(sent)).every(Boolean);
    },
    fed: (id) => waiting.get(id)?.(true),
  };
}
