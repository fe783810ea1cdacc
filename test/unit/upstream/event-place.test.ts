// Where one more event may be put into a stream that was passed on unread.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventPlace } from "../../../src/upstream/event-place.ts";

const CASES: readonly (readonly [chunks: readonly string[], ending: string | null])[] = [
  [[], ""],
  [[""], ""],
  [["data: 1\n\n"], "\n\n"],
  [["data: 1\n"], "\n\n"],
  [["data: 1\r\n\r"], "\n\n"],
  [["data: 1\r", "\n"], "\n\n"],
  [["data: 1\n", "data:"], "\n\n"],
  [["id: 1\nda", "ta: {"], "\n\n"],
  [["id: 1\nda", "t", "", "a", ": {", "}"], "\n\n"],
  [["data: 1\n\nid: 7"], null],
  [["data: 1\n", "i"], null],
  [["data: 1\n", "retry: 1"], null],
  [["data: 1\n", ": a comment"], null],
  [["data: 1\n", "data"], null],
  [["data: 1\n", "datax: 1"], null],
  [["data: 1\n", "id: data:"], null],
  [["id: 7", "7\n"], "\n\n"],
];

test("an event may be put behind a whole line or behind half a line of data, and nowhere else", () => {
  for (const [chunks, ending] of CASES) {
    const place = new EventPlace();
    for (const chunk of chunks) place.push(Buffer.from(chunk));
    assert.equal(place.ending, ending, JSON.stringify(chunks));
  }
});
