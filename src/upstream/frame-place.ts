// In: the chunks that a tool sends through a WebSocket tunnel (RFC 6455 section 5.2). Out: whether a frame of the gateway's own
// may follow. Trusts: nothing; a tool that frames badly gets no closing word, and its tunnel is reset.
// Only the heads of frames are read. A control frame may stand between the parts of a message (section 5.4), and is never
// compressed, so nothing else has to be known.

const OPCODE = 0x0f;
const OPCODE_CLOSE = 0x8;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const HEAD_BYTES_MIN = 2;
const HEAD_BYTES_MAX = 14;
/** A payload this long is beyond what a number holds, and no tool sends it. */
const LENGTH_HIGH_MAX = 2 ** 21;

const FIN_CLOSE = 0x80 | OPCODE_CLOSE;
/** Section 7.4.1: the endpoint is going away; a message violates its policy. */
export const GOING_AWAY = 1001;
export const POLICY_VIOLATION = 1008;

export class FramePlace {
  readonly #head = Buffer.alloc(HEAD_BYTES_MAX);
  #headBytes = 0;
  #payloadLeft = 0;
  #over = false;

  /** Between two frames, and the tool has not said its own last word. */
  get isBetween(): boolean {
    return !this.#over && this.#headBytes === 0 && this.#payloadLeft === 0;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#over) {
      if (this.#payloadLeft > 0) {
        const passed = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= passed;
        at += passed;
        continue;
      }
      this.#head[this.#headBytes++] = chunk[at++] as number;
      if (this.#headBytes >= HEAD_BYTES_MIN && this.#headBytes === headBytesOf(this.#head)) this.#begin();
    }
  }

  #begin(): void {
    const length = payloadBytesOf(this.#head);
    // What follows a close frame is nothing to the client.
    this.#over = length === null || ((this.#head[0] as number) & OPCODE) === OPCODE_CLOSE;
    this.#payloadLeft = length ?? 0;
    this.#headBytes = 0;
  }
}

/** A server's frame has no mask (section 5.1). `reason`: at most 123 bytes. */
export function closeFrame(code: number, reason: string): Buffer {
  const payload = Buffer.from(`\0\0${reason}`, "utf8");
  payload.writeUInt16BE(code);
  return Buffer.concat([Buffer.from([FIN_CLOSE, payload.length]), payload]);
}

function headBytesOf(head: Buffer): number {
  const second = head[1] as number;
  const length = second & LENGTH;
  const extended = length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0;
  return HEAD_BYTES_MIN + extended + ((second & MASKED) === 0 ? 0 : 4);
}

function payloadBytesOf(head: Buffer): number | null {
  const length = (head[1] as number) & LENGTH;
  if (length < LENGTH_16) return length;
  if (length === LENGTH_16) return head.readUInt16BE(2);
  const high = head.readUInt32BE(2);
  return high >= LENGTH_HIGH_MAX ? null : high * 2 ** 32 + head.readUInt32BE(6);
}
