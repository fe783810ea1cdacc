// Whether the answer to a request stands in a stream that is passed on unread, however it is cut into chunks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerFinder } from "../../../src/upstream/answer-finder.ts";

const RESULT = '{"result":{"id":8,"method":"x","list":[{"id":9},"}]\\"{"]},"jsonrpc":"2.0","id":7}';

const CASES: readonly (readonly [stream: string, id: string, found: boolean])[] = [
  [`event: message\ndata: ${RESULT}\n\n`, "7", true],
  [`\r\nid: 1\r\ndata:${RESULT}\r\n\r\n`, "7", true],
  [`data: ${RESULT}\r\r`, "7", true],
  [`data: {"a":\ndata\ndata: 1}\n\ndata: ${RESULT}\n\n`, "7", true],
  ['data: {"jsonrpc":"2.0",\ndata: "id":"7",\ndata: "error":{}}\n\n', "7", true],
  ['data: {"id":"\\u0061\u00e9","result":{}}\n\n', "a\u00e9", true],
  [`data: {"id":7,"result":${JSON.stringify({ text: "x".repeat(100_000) })}}\n\n`, "7", true],
  [`data: ${RESULT}\n\n`, "8", false],
  [`data: ${RESULT}\n`, "7", false],
  [`: data: ${RESULT}\n\n`, "7", false],
  [`dat\ndatax: ${RESULT}\n\nid: ${RESULT}\n\n`, "7", false],
  ['data: {"id":7,"method":"ping"}\n\n', "7", false],
  ['data: {"id":7,"method":"ping","result":{}}\n\n', "7", false],
  ['data: {"params":{"id":7,"result":{}},"method":"notifications/progress"}\n\n', "7", false],
  ['data: {"error":{"id":7}}\n\n', "7", false],
  [`data: [${RESULT}]\n\n`, "7", false],
  [`data: "${JSON.stringify(RESULT).slice(1)}\n\n`, "7", false],
  [`data: {"a":${RESULT}}\n\n`, "7", false],
  [`data: {"a":"${"x".repeat(20_000)}","id":7,"result":{}}\n\n`, "7", false],
  [`data: }\n\ndata: ${RESULT}\n\n`, "7", true],
];

test("an answer is found by its id in the outermost object, whatever is nested in it, and nothing else is taken for one", () => {
  for (const [stream, id, found] of CASES) {
    const bytes = Buffer.from(stream);
    for (const size of [1, 3, bytes.length]) {
      const finder = new AnswerFinder(id);
      let seen = false;
      for (let at = 0; at < bytes.length && !seen; at += size) seen = finder.push(bytes.subarray(at, at + size));
      assert.equal(seen, found, `${stream.slice(0, 200)} in chunks of ${size}`);
    }
  }
});
