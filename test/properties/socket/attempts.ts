// In: nothing. Out: what a hostile client writes on one connection: valid requests, mutated; credentials are put in later.
// Whatever the bytes are, each proof is made for the request line in front of it, so that a change gets past the proof.
import fc from "fast-check";
import type { TestAgent } from "../../fixtures/test-gateway.ts";
import { mutatedText } from "../mutated-text.ts";
import { desyncVectors } from "../seeds.ts";

/** The name of the property, and of its file of kept cases. */
export const SOCKET = "socket";

const AUTHORITY = "{{host}}";
const CREDENTIALS = "Authorization: {{token}}\r\nDPoP: {{proof}}\r\n";

function request(line: string, headers: readonly string[] = [], body = ""): string {
  const lines = headers.map((header) => `${header}\r\n`).join("");
  return `${line} HTTP/1.1\r\nHost: ${AUTHORITY}\r\n${CREDENTIALS}${lines}\r\n${body}`;
}

const JSON_TYPE = "Content-Type: application/json";
const chunked = ["Transfer-Encoding: chunked", JSON_TYPE];
const BODY = '{"a":1,"b":"x"}';

const corpus = [
  request("GET /ats/jobs/J42?q=1"),
  request("HEAD /a/b%20c;v=1/"),
  request("POST /a", [JSON_TYPE, `Content-Length: ${BODY.length}`], BODY),
  request("POST /a", chunked, `f\r\n${BODY}\r\n0\r\n\r\n`),
  request("POST /a", chunked, `5;x=y\r\n${BODY.slice(0, 5)}\r\nA\r\n${BODY.slice(5)}\r\n0\r\nX-Trailer: 1\r\n\r\n`),
  request("PUT /stream/x", ["Transfer-Encoding: chunked", "Trailer: X-T"], "3\r\nabc\r\n0\r\n\r\n"),
  request("PUT /stream/x", ["Content-Length: 3", "Expect: 100-continue"], "abc"),
  request(`GET http://${AUTHORITY}/slash/a%2fb?x=%26`, ["Connection: keep-alive, x-hop", "X-Hop: 1"]),
  request("DELETE /a", ["X-Forwarded-For: 1.2.3.4", "X-Cordon-Agent: x", "Cookie: c=1", "TE: trailers"]),
  request("GET /a", ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]),
  request("GET /a").replace("HTTP/1.1", "HTTP/1.0"),
  request("GET /a") + request("POST /a", [JSON_TYPE, `Content-Length: ${BODY.length}`], BODY),
];
/** Published ones, nearly all of which a strict parser refuses as they are. */
const refused = desyncVectors()
  .map((vector) => {
    const headers = vector.headers ?? [];
    const lines = headers.filter(({ name }) => name.toLowerCase() !== "host");
    const hasChunks = headers.some(({ name }) => /transfer.encoding/i.test(name));
    const body = hasChunks ? "5\r\nhello\r\n0\r\n\r\n" : "hello";
    const text = lines.map(({ name, value }) => `${name}: ${String(value)}`.slice(0, 200));
    return request(`${vector.method} ${vector.uri}`, text, body);
  })
  .filter((text) => /^[\u0000-\u00ff]*$/.test(text));

const WORDS = [
  ..."\r\n|\n|\r|\r\n\r\n| |\t|:|: |;x|,|\u0000|\u000b|\u00a0|\u00ff|0\r\n\r\n|5\r\nhello\r\n|0x5|+5|-1|5, 5|00000000f".split(
    "|",
  ),
  ...["Content-Length: 0", "Content-Length: 5", "Content-Length : 5", "Content-Length: 5, 5", " folded"].map(withEnd),
  ...["Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\u000bchunked"].map(withEnd),
  ...["Transfer-Encoding : chunked", "transfer_encoding: chunked", "Content_Length: 5", "Host: evil.example"].map(
    withEnd,
  ),
  ...["X-Cordon-Agent: x", "x_cordon_agent: x", "Connection: close", "Connection: x-cordon-agent"].map(withEnd),
  ...["Connection: content-length", "X-HTTP-Method-Override: DELETE", "Expect: 100-continue", "Trailer: a"].map(
    withEnd,
  ),
  ..."HTTP/1.0|HTTP/1.1|HTTP/2.0|GET |POST |CONNECT |PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n|Upgrade: websocket\r\n".split(
    "|",
  ),
  ...'/../|/%2e%2e/|//|?q=1|&q=2|#x|\\|%2f|%00|/stream/|/slash/|*|@|{|}|[|]|"a":2,|"A":3,|1e400|\\u0061'.split("|"),
  request("GET /smuggled"),
  AUTHORITY,
  CREDENTIALS,
];

function withEnd(line: string): string {
  return `${line}\r\n`;
}

/** Each change is likely to have the request refused, so there are few. */
const STEPS_MAX = 3;

export const attempts: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: mutatedText(corpus, WORDS, STEPS_MAX) },
  { weight: 1, arbitrary: mutatedText([...corpus, ...refused], WORDS, STEPS_MAX) },
);

/** Without credentials: it is refused, and its answer ends the connection. Whatever stands before it is answered by then. */
const LAST = `GET /last HTTP/1.1\r\nHost: ${AUTHORITY}\r\nConnection: close\r\n\r\n`;
const REQUEST_LINE = /([A-Za-z]+) +([^\s]+) +HTTP/g;

/** The bytes of an attempt, with a fresh proof wherever one is asked for. */
export async function bytesOf(attempt: string, gatewayUrl: string, agent: TestAgent): Promise<string> {
  const text = (attempt + LAST)
    .replaceAll(AUTHORITY, new URL(gatewayUrl).host)
    .replaceAll("{{token}}", `DPoP ${agent.token}`);
  const parts = text.split("{{proof}}");
  let bytes = parts[0] ?? "";
  for (const part of parts.slice(1)) {
    const [, method = "GET", target = "/"] = [...bytes.matchAll(REQUEST_LINE)].at(-1) ?? [];
    const url = target.startsWith("/") ? gatewayUrl + target : target;
    bytes += (await agent.headers(url, method)).dpop + part;
  }
  return bytes;
}
