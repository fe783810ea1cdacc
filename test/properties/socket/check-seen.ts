// In: what was sent, what the tool got and what the logs say. Out: each way in which the three disagree, with its attempt.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { CLIENT, readRequests, type WireRequest } from "./http-reader.ts";
import { answersIn, type LogLine, type Seen, type Sent } from "./stage.ts";

export interface Disagreement {
  /** Undefined where no single attempt is to blame. */
  readonly attempt: string | undefined;
  readonly message: string;
}

export const SAYS =
  "whatever bytes come in, what reaches the tool is one request of those that were sent, with the target and body that were judged, and every answer has its line";

export function checkSeen(seen: Seen): Disagreement[] {
  const found: Disagreement[] = seen.faults.map((message) => ({ attempt: undefined, message }));
  const attempt = (sent: Sent | undefined, check: () => void): void => {
    try {
      check();
    } catch (error) {
      found.push({ attempt: sent?.attempt, message: error instanceof Error ? error.message : String(error) });
    }
  };
  const access = byRequest(seen.access);
  const decision = byRequest(seen.decision);
  const intents = byRequest(seen.audit.filter((line) => line["type"] === "intent"));
  const outcomes = byRequest(seen.audit.filter((line) => line["type"] === "outcome"));
  for (const [id, lines] of access)
    attempt(undefined, () => assert.equal(lines.length, 1, `${String(id)} has two access lines`));

  for (const sent of seen.sent) {
    const forwarded = seen.forwarded.filter((request) => valuesOf(request, "x-cordon-agent").includes(sent.agent));
    attempt(sent, () => {
      for (const { id, status } of answersIn(sent.answered)) {
        const [line, ...more] = access.get(id) ?? [];
        assert.ok(line !== undefined && more.length === 0, "an answer without an access line of its own");
        assert.equal(line["status"], status, "the line tells another status than the answer");
      }
      checkWritten(forwarded, readRequests(sent.bytes, CLIENT).requests);
      for (const request of forwarded) {
        const ids = valuesOf(request, "x-cordon-request-id");
        assert.equal(ids.length, 1, "the tool got not one request id");
        const [id = ""] = ids;
        const one = (lines: readonly LogLine[] | undefined, what: string): LogLine => {
          assert.equal(lines?.length, 1, `${what} for a request at the tool`);
          return lines?.[0] ?? {};
        };
        checkRequest(request, {
          access: one(access.get(id), "not one access line"),
          decision: one(decision.get(id), "not one decision"),
          intent: one(intents.get(id), "not one intent"),
          outcome: one(outcomes.get(id), "not one outcome"),
        });
      }
    });
  }
  const agents = new Set(seen.sent.map(({ agent }) => agent));
  for (const request of seen.forwarded) {
    const names = valuesOf(request, "x-cordon-agent");
    attempt(undefined, () =>
      assert.ok(names.length === 1 && agents.has(names[0] ?? ""), "the tool got a request of nobody"),
    );
  }
  return found;
}

/** What was forwarded was sent, as whole requests, each at most once. Requests of one connection run side by side. */
function checkWritten(forwarded: readonly WireRequest[], written: readonly WireRequest[]): void {
  const left = [...written];
  for (const { method, target, body } of forwarded) {
    const at = left.findIndex((one) => one.method === method && originForm(one.target) === target && one.body === body);
    assert.notEqual(at, -1, `the tool got a request that a strict reader does not find: ${method} ${target}`);
    left.splice(at, 1);
  }
}

interface Lines {
  readonly access: LogLine;
  readonly decision: LogLine;
  readonly intent: LogLine;
  readonly outcome: LogLine;
}

function checkRequest(request: WireRequest, { access, decision, intent, outcome }: Lines): void {
  const [, path = "", query = ""] = /^([^?]*)\??(.*)$/.exec(request.target) ?? [];
  assert.equal(access["path"], path);
  assert.equal(access["method"], request.method);
  assert.deepEqual(pick(intent, "action", "method"), request.method);
  assert.deepEqual(pick(intent, "resource", "path"), path);
  assert.equal(outcome["sent"], true);
  const bytes = Buffer.from(request.body, "latin1");
  // No byte of a body, or no body at all, has no hash.
  const sha256 = bytes.length === 0 ? null : createHash("sha256").update(bytes).digest("hex");
  assert.equal(outcome["request_sha256"], sha256, "the recorded hash is of other bytes than the tool got");
  assert.equal(outcome["request_bytes"], bytes.length);

  assert.equal(pick(decision, "input", "action", "method"), request.method);
  assert.deepEqual(pick(decision, "input", "resource", "path"), path.slice(1).split("/").map(decodeURIComponent));
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const logged = Object.fromEntries(
    ["q", "x"].filter((name) => Object.hasOwn(parameters, name)).map((name) => [name, parameters[name]]),
  );
  assert.deepEqual(pick(decision, "input", "resource", "query"), logged, "policy was asked of another query");
  if (pick(decision, "input", "resource", "route") === "stream") return;
  const judged = pick(decision, "input", "action", "arguments");
  if (bytes.length === 0) {
    assert.equal(judged, null);
    return;
  }
  const body = JSON.parse(bytes.toString("utf8")) as unknown;
  for (const name of ["a", "b"]) {
    assert.deepEqual(pick(judged, `/${name}`), pick(body, name), "policy was asked of another body");
  }
}

/** RFC 9112 section 3.2.2: the absolute form of a target says the same as its path. */
function originForm(target: string): string {
  return target.replace(/^https?:\/\/[^/]*/i, "");
}

function valuesOf(request: WireRequest, wanted: string): string[] {
  return request.headers
    .filter(([name]) => name.toLowerCase().replaceAll("_", "-") === wanted)
    .map(([, value]) => value);
}

function byRequest(lines: readonly LogLine[]): Map<unknown, LogLine[]> {
  return Map.groupBy(lines, (line) => line["request_id"]);
}

function pick(value: unknown, ...names: readonly string[]): unknown {
  let at = value;
  for (const name of names) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as LogLine)[name];
  }
  return at;
}
