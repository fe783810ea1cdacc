// In: the requests a tool received. Out: the last of them, bounded, for `GET /_seen`.
// It exists so that a test or a demo can show what reached a tool, and what did not.
import type { IncomingMessage } from "node:http";

/** The last requests are enough to look at; a tool that runs for weeks must not grow. */
const SEEN_MAX = 200;

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  body?: string;
}

export interface SeenRequests {
  /** Keeps one request and returns the entry, so that its body can be added. */
  add(request: IncomingMessage): SeenRequest;
  count(): number;
  asJson(): { readonly count: number; readonly requests: readonly SeenRequest[] };
}

export function createSeenRequests(): SeenRequests {
  const requests: SeenRequest[] = [];
  let count = 0;
  return {
    add(request) {
      const entry: SeenRequest = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: { ...request.headers },
      };
      count += 1;
      requests.push(entry);
      if (requests.length > SEEN_MAX) requests.shift();
      return entry;
    },
    count: () => count,
    asJson: () => ({ count, requests }),
  };
}
