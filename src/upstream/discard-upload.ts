// In: an upload whose answer is there before its end. Out: the rest is read and thrown away, or it was too much.
// Trusts: nothing; a client that goes on for too long, or not at all, is not waited for.
//
// An upload that nobody reads holds its connection until the request's time is over. One that is closed at once may
// lose its answer: bytes that arrive behind the close reset the connection (RFC 9112 section 9.6).
import type { Readable } from "node:stream";

/** A rest of this size is read sooner than a new TLS connection is made. */
export const DISCARD_BYTES_MAX = 262_144;

/** How long the rest may take: some round trips, in which the client sees its answer and stops sending. */
const DISCARD_MS_MAX = 1000;

/** `done` is called once, with whether the whole rest was read; nothing is read after it. */
export function discardUpload(body: Readable, done: (whole: boolean) => void): void {
  let bytes = 0;
  const timer = setTimeout(() => finish(false), DISCARD_MS_MAX);
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    // Not the end yet: a client that sends faster than it reads gets the rest of the time to see its answer.
    if (bytes > DISCARD_BYTES_MAX) body.pause();
  };
  const onEnd = (): void => finish(true);
  const onClose = (): void => finish(false);
  body.on("data", onData).on("end", onEnd).on("close", onClose);
  body.resume();

  function finish(whole: boolean): void {
    clearTimeout(timer);
    body.off("data", onData).off("end", onEnd).off("close", onClose);
    if (!whole) body.pause();
    done(whole);
  }
}
