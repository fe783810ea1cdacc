// H02, H03, H19: bodies, expectations, pipelines and odd heads at a recorder, at Debian's nginx and at haproxy. What the
// gateway forwards they read as it was judged, to the byte; what is not whole never looks whole to any of them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertAgreement, assertHeader, assertNothingSeen } from "./agreement.ts";
import { BROKEN, type FramingCase, REFUSED, SERVED, UNFINISHED } from "./framing-cases.ts";
import { rawRequest } from "./raw-client.ts";
import { skipWithoutServers } from "./real-servers.ts";
import { framedBody, type FramedRequest } from "./recording-upstream.ts";
import {
  type Door,
  type Evidence,
  type Judgement,
  startThreeUpstreams,
  type ThreeUpstreams,
  UPSTREAMS,
} from "./three-upstreams.ts";

const MARKER = "/marker";
const LAST = ["Connection: close"];

function framed(method: string, target: string, body = ""): FramedRequest {
  return { method, target, ...framedBody(Buffer.from(body, "latin1")) };
}

describe("H02 framing at real servers", { skip: skipWithoutServers }, () => {
  let three: ThreeUpstreams;
  let judgements: ReadonlyMap<string, Judgement>;
  const evidence = new Map<FramingCase, Evidence>();
  before(async () => {
    three = await startThreeUpstreams();
    for (const one of [...SERVED, ...REFUSED, ...BROKEN]) evidence.set(one, await send(one, false));
    for (const one of UNFINISHED) evidence.set(one, await send(one, true));
    judgements = await three.judgements([...evidence.values()]);
  });
  after(() => three.close());

  /** The request with credentials for its method and path, and where the client stays, a marker behind it. */
  function send({ line, lines, body }: FramingCase, thenEnd: boolean): Promise<Evidence> {
    return three.send(async (door) => {
      const { method, target } = partsOf(line);
      const requestLine = line.replace("ORIGIN", door.origin).replace("ELSEWHERE", three.g.url);
      const first = rawRequest(requestLine, [...(await door.credentials(method, target)), ...lines], body);
      const marker = thenEnd ? "" : await door.request("GET", MARKER, LAST);
      return [Buffer.from(first + marker, "latin1")];
    }, thenEnd);
  }
  function partsOf(line: string): { method: string; target: string } {
    const [, method = "GET", target = "/x"] = /([A-Z]+)[ \t]+(?:ORIGIN|ELSEWHERE)?(\/\S*)?/.exec(line) ?? [];
    return { method, target };
  }
  function assertSeen(
    found: Evidence,
    known: ReadonlyMap<string, Judgement>,
    expected: readonly FramedRequest[],
  ): void {
    assertAgreement(found, known);
    assert.deepEqual(found.recorder.views[0], expected);
    for (const name of UPSTREAMS)
      assert.deepEqual(
        found[name].statuses,
        expected.map(() => 200),
      );
  }
  async function play(
    make: (door: Door) => Promise<readonly string[]>,
    expected: readonly FramedRequest[],
  ): Promise<void> {
    const found = await three.send(make);
    assertSeen(found, await three.judgements([found]), expected);
  }

  for (const one of SERVED) {
    test(`H02 ${one.what}: three readers see what was judged, and the next request where it begins`, () => {
      const { method, target } = partsOf(one.line);
      const expected = [framed(method, target, one.read), framed("GET", MARKER)];
      assertSeen(evidence.get(one) as Evidence, judgements, expected);
    });
  }

  for (const one of [...BROKEN, ...UNFINISHED]) {
    test(`H02 ${one.what}: no reader takes it for a whole request, and nothing behind it is done`, () => {
      const found = evidence.get(one) as Evidence;
      assertNothingSeen(found);
      for (const name of UPSTREAMS) {
        const { statuses, ids } = found[name];
        assert.deepEqual(statuses, UNFINISHED.includes(one) ? [] : [400]);
        assert.ok(ids.every((id) => judgements.get(id)?.reason === "exchange.malformed"));
      }
    });
  }

  for (const one of REFUSED) {
    test(`H02 H03 H19 ${one.what}: no reader sees it, nor what stands behind it`, () => {
      const found = evidence.get(one) as Evidence;
      assertAgreement(found, judgements);
      assertNothingSeen(found);
      for (const name of UPSTREAMS) assert.deepEqual(found[name].statuses, [400]);
    });
  }

  test("H02 a body that waits for 100 Continue reaches three readers without the expectation", async () => {
    for (const [target, more, body] of [
      ["/x", [], "hello"],
      ["/judged/x", ["Content-Type: application/json"], '{"n":7}'],
    ] as const) {
      const lines = ["Expect: 100-continue", `Content-Length: ${body.length}`, ...more];
      await play(
        async (door) => [await door.request("POST", target, lines), body + (await door.request("GET", MARKER, LAST))],
        [framed("POST", target, body), framed("GET", MARKER)],
      );
    }
  });

  test("H02 requests of every framing, in one write and one after the other, keep their order and their ends", async () => {
    const parts: readonly (readonly [
      method: string,
      target: string,
      lines: readonly string[],
      body: string,
      read: string,
    ])[] = [
      ["POST", "/judged/1", ["Content-Type: application/json", "Content-Length: 7"], '{"n":1}', '{"n":1}'],
      ["GET", "/2", [], "", ""],
      ["PUT", "/3", ["Transfer-Encoding: chunked"], "3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-A: b\r\n\r\n", "abcde"],
      ["HEAD", "/4", [], "", ""],
      ["DELETE", "/5", ["Content-Length: 3"], "abc", "abc"],
      ["POST", "/6", ["Content-Length: 0"], "", ""],
      ["GET", "/7", LAST, "", ""],
    ];
    const expected = parts.map(([method, target, , , read]) => framed(method, target, read));
    const requests = (door: Door): Promise<string[]> =>
      Promise.all(parts.map(([method, target, lines, body]) => door.request(method, target, lines, body)));
    await play(async (door) => [(await requests(door)).join("")], expected);
    await play(requests, expected);
  });

  test("H02 the arguments that policy judged are in the body that three readers see", async () => {
    const body = '{ "n" : 7.0, "other": "\\u00e4" }\r\n';
    const lines = ["Content-Type: application/json", `Content-Length: ${body.length}`, ...LAST];
    const found = await three.send(async (door) => [await door.request("POST", "/judged/x", lines, body)]);
    assertSeen(found, await three.judgements([found]), [framed("POST", "/judged/x", body)]);
    for (const name of UPSTREAMS) {
      const [id] = found[name].ids;
      const isIt = (line: Record<string, unknown>): boolean => line["request_id"] === id;
      const decision = (await three.g.lines("decision", isIt)).find(isIt);
      const input = decision?.["input"] as { action: { arguments: unknown } } | undefined;
      assert.deepEqual(input?.action.arguments, { "/n": 7 });
    }
  });

  test("H02 values above ASCII and empty ones reach three readers byte for byte", async () => {
    for (const value of ["\u00ff\u00fe caf\u00e9 \u0085\u00a0", "a\tb", "", 'a,b;c="d"', "\u00c3\u00a4"]) {
      const found = await three.send(async (door) => [
        Buffer.from(await door.request("GET", "/x", [`X-Value: ${value}`, ...LAST]), "latin1"),
      ]);
      assertSeen(found, await three.judgements([found]), [framed("GET", "/x")]);
      assertHeader(found, "X-Value", value);
    }
  });
});
