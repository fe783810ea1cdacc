// In: what came on a connection, as latin1. Out: its first final answer, and whether its framing says that it is whole.
// Unlike raw-client.ts it reads chunks, since whether a cut answer looks complete is the question here. For tests only.

export interface FramedAnswer {
  readonly status: number;
  readonly head: string;
  /** Without its framing; of an answer that is cut, as much as came. */
  readonly body: string;
  /** Its framing is complete. Never for an answer that only the connection's end delimits. */
  readonly whole: boolean;
  /** What stands behind a whole answer. */
  readonly rest: string;
}

/** Undefined while there is no whole head yet; interim answers (1xx) are passed over. */
export function frameAnswer(text: string): FramedAnswer | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = text.slice(0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? Number.NaN);
  const after = text.slice(end + 4);
  if (status < 200) return frameAnswer(after);
  const length = /^content-length: *(\d+)$/im.exec(head)?.[1];
  if (length !== undefined) {
    const bytes = Number(length);
    return { status, head, body: after.slice(0, bytes), whole: after.length >= bytes, rest: after.slice(bytes) };
  }
  if (/^transfer-encoding: *chunked$/im.test(head)) return { status, head, ...readChunks(after) };
  return { status, head, body: after, whole: false, rest: "" };
}

function readChunks(text: string): { body: string; whole: boolean; rest: string } {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return { body, whole: false, rest: "" };
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const from = lineEnd + 2;
    if (size === 0) {
      const whole = text.startsWith("\r\n", from);
      return { body, whole, rest: whole ? text.slice(from + 2) : "" };
    }
    body += text.slice(from, from + size);
    at = from + size + 2;
    if (at > text.length) return { body, whole: false, rest: "" };
  }
}
