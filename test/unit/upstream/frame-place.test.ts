// Where a close frame may be put into what a tool sends through a tunnel.
import assert from "node:assert/strict";
import { test } from "node:test";
import { closeFrame, FramePlace } from "../../../src/upstream/frame-place.ts";

function frame(first: number, bytes: number, mask = false): Buffer {
  const second = mask ? 0x80 : 0;
  const head =
    bytes < 126
      ? [first, second | bytes]
      : bytes < 65_536
        ? [first, second | 126, bytes >> 8, bytes & 0xff]
        : [first, second | 127, 0, 0, 0, 0, bytes >>> 24, (bytes >> 16) & 0xff, (bytes >> 8) & 0xff, bytes & 0xff];
  // Payload that would be a head of its own, were it read as one.
  return Buffer.concat([Buffer.from([...head, ...(mask ? [1, 2, 3, 4] : [])]), Buffer.alloc(bytes, 0x88)]);
}

const TEXT = 0x81;
const PART = 0x01;

test("a place between two frames is known at every offset, whatever the chunks", () => {
  const frames = [
    frame(TEXT, 0),
    frame(TEXT, 5),
    frame(PART, 126),
    frame(0x89, 3),
    frame(0x80, 70_000),
    frame(0x82, 9, true),
  ];
  const bytes = Buffer.concat(frames);
  const ends = new Set<number>([0]);
  let end = 0;
  for (const { length } of frames) ends.add((end += length));
  for (const step of [1, 7, 1000]) {
    const place = new FramePlace();
    for (let at = 0; at < bytes.length; at += step) {
      assert.equal(place.isBetween, ends.has(at), `offset ${at} in steps of ${step}`);
      place.push(bytes.subarray(at, at + step));
    }
    assert.equal(place.isBetween, true);
  }
});

test("behind a tool's own close frame, and behind a length that no frame has, there is no place", () => {
  for (const last of [closeFrame(1000, "bye"), Buffer.from([0x82, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0])]) {
    const place = new FramePlace();
    place.push(Buffer.concat([frame(TEXT, 3), last]));
    assert.equal(place.isBetween, false);
    place.push(Buffer.from([0x81, 0]));
    assert.equal(place.isBetween, false);
  }
});
