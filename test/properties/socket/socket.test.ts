// A whole gateway for a bounded number of hostile connections, always the same ones; and that the check sees what is wrong.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { readCases } from "../kept-cases.ts";
import { attempts, SOCKET } from "./attempts.ts";
import { checkSeen, SAYS } from "./check-seen.ts";
import { CLIENT, GATEWAY, readRequests, type WireRequest } from "./http-reader.ts";
import { type Seen, type Stage, startStage } from "./stage.ts";

const SEED = 1;
const ATTEMPTS = 200;

const POST =
  "POST /a?q=1 HTTP/1.1\r\nHost: {{host}}\r\nAuthorization: {{token}}\r\nDPoP: {{proof}}\r\n" +
  'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}';

describe("a whole gateway over a socket", () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage();
  });
  after(() => stage.close());

  test(`${SOCKET}: ${SAYS}`, async () => {
    for (const { why, input } of readCases(SOCKET)) {
      assert.deepEqual(checkSeen(await stage.send(input as string[])), [], `a kept case is broken again: ${why}`);
    }
    const seen = await stage.send(fc.sample(attempts, { numRuns: ATTEMPTS, seed: SEED }));
    assert.deepEqual(checkSeen(seen), []);
    assert.ok(seen.forwarded.length > ATTEMPTS / 10, `only ${seen.forwarded.length} requests were forwarded`);
    assert.ok(seen.access.length > ATTEMPTS, "fewer lines than connections");
  });

  test("tool, logs and record are compared: a difference in any of them is seen", async () => {
    const seen = await stage.send([POST]);
    assert.deepEqual(checkSeen(seen), []);
    const [request] = seen.forwarded;
    assert.ok(request !== undefined && seen.forwarded.length === 1 && seen.decision.length === 1);
    const forwarded = (changes: Partial<WireRequest>): Seen => ({ ...seen, forwarded: [{ ...request, ...changes }] });
    const without = (name: string) => request.headers.filter(([one]) => one !== name);
    const decision = (text: string, other: string): Seen => ({
      ...seen,
      decision: JSON.parse(JSON.stringify(seen.decision).replace(text, other)) as Seen["decision"],
    });
    const wrong: [string, Seen][] = [
      ["another body", forwarded({ body: '{"a":2}' })],
      ["another target", forwarded({ target: "/a?q=2" })],
      ["another method", forwarded({ method: "PUT" })],
      ["the same request twice", { ...seen, forwarded: [request, request] }],
      ["a request of nobody", forwarded({ headers: without("x-cordon-agent") })],
      ["a request without an id", forwarded({ headers: without("x-cordon-request-id") })],
      ["no access line", { ...seen, access: [] }],
      ["two access lines", { ...seen, access: [...seen.access, ...seen.access] }],
      ["no decision", { ...seen, decision: [] }],
      ["no record", { ...seen, audit: [] }],
      ["another judged path", decision('"path":["a"]', '"path":["b"]')],
      ["another judged query", decision('"query":{"q":"1"}', '"query":{"q":"2"}')],
      ["another judged body", decision('"/a":1', '"/a":2')],
      ["bytes that are no request", { ...seen, faults: ["x"] }],
      [
        "another answer",
        { ...seen, sent: seen.sent.map((one) => ({ ...one, answered: one.answered.replace(" 200 ", " 201 ") })) },
      ],
    ];
    for (const [what, other] of wrong) assert.notDeepEqual(checkSeen(other), [], `${what} goes unseen`);
  });
});

test("the strict reader takes whole requests only, and one framing only", () => {
  const head = "POST /a HTTP/1.1\r\nHost: h\r\n";
  const read = (bytes: string, dialect = GATEWAY) => {
    const { requests, fault, end } = readRequests(bytes, dialect);
    return [requests.map(({ body }) => body), fault !== "", end === bytes.length];
  };
  assert.deepEqual(read(`${head}\r\n`), [[""], false, true]);
  assert.deepEqual(read(`${head}Content-Length: 2\r\n\r\nab${head}\r\n`), [["ab", ""], false, true]);
  assert.deepEqual(read(`${head}Transfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n0\r\nT: 1\r\n\r\n`), [
    ["ab"],
    false,
    true,
  ]);
  assert.deepEqual(read(`${head}Content-Length: 3\r\n\r\nab`), [[], false, false], "more may come");
  assert.deepEqual(read(`\r\n\n${head.replace(" /a ", "  /a  ")}\r\n`, CLIENT), [[""], false, true]);
  const faults = [
    `\r\n${head}\r\n`,
    head.replace(" /a ", "  /a ") + "\r\n",
    "POST /a HTTP/1.1\r\n\r\n",
    `${head}Host: h\r\n\r\n`,
    `${head}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`,
    `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: +1\r\n\r\na`,
    `${head}Content-Length : 1\r\n\r\na`,
    `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n`,
    `${head}X: a\r\n folded\r\n\r\n`,
    `${head}X: a\n\r\n`,
    `${head}X: a\rb\r\n\r\n`,
    `${head}X: \u0000\r\n\r\n`,
  ];
  for (const bytes of faults) assert.equal(read(bytes)[1], true, JSON.stringify(bytes));
});
