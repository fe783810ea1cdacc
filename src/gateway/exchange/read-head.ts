// In: a request as Node's parser framed it. Out: its headers, the origin that it is for and its target in canonical form.
// Trusts: nothing but the framing. What can be read in two ways is not judged at all.
import type { IncomingMessage } from "node:http";
import { checkHeaders, type HeaderFacts } from "../../action/check-headers.ts";
import { parseTarget, type Target } from "../../action/parse-target.ts";
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { startTrace } from "../../telemetry/trace-context.ts";
import { normaliseHtu } from "../../token/normalise-htu.ts";
import type { ExchangeFacts, PublicOrigin, Services } from "../thread/services.ts";

export interface Head {
  readonly headers: HeaderFacts;
  readonly origin: PublicOrigin;
  readonly target: Target;
}

/** Notes what it read in the facts, for the log. */
export function readHead(s: Services, x: ExchangeFacts, request: IncomingMessage): Result<Head, Denial> {
  if (request.httpVersionMajor !== 1) return err(deny("exchange.malformed", `HTTP/${request.httpVersion}`));
  const headers = checkHeaders(request.rawHeaders, s.config.limits.headers_max);
  if (!headers.ok) return headers;
  // RFC 9112 section 6.1: a peer before HTTP/1.1 does not know chunks, so whoever passed this on framed it otherwise.
  if (headers.value.chunked && request.httpVersionMinor === 0) {
    return err(deny("exchange.malformed", "Transfer-Encoding in HTTP/1.0"));
  }
  x.host = headers.value.host;
  // Nothing is sent on for a caller who is not proven: unless the caller began a trace, there is none to begin here.
  if (headers.value.traceparent !== undefined) x.trace = traceOf(headers.value);
  const host = headers.value.host.toLowerCase();
  const origin = s.origins.get(`${x.listener.scheme} ${host}`) ?? s.origins.get(host);
  if (origin === undefined) return err(deny("exchange.bad_host", "Host names none of public_origins"));
  const target = parseTarget(request.url ?? "", headers.value.host);
  if (!target.ok) return target;
  x.path = target.value.path;
  return ok({ headers: headers.value, origin, target: target.value });
}

/** One text for all spellings of a URI: a proof is spent for each of them, not once for `%c3` and once more for `%C3`. */
export function htuOf(origin: PublicOrigin, path: string): string {
  const htu = origin.origin + path;
  return path.includes("%") ? (normaliseHtu(htu) ?? htu) : htu;
}

export function traceOf({ traceparent, tracestate }: HeaderFacts): ExchangeFacts["trace"] {
  return startTrace(traceparent, tracestate);
}
