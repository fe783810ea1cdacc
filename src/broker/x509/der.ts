// In: values. Out: their DER (ITU-T X.690), as far as a certificate of this issuer needs it.
// Pure. Every length is definite and minimal, as DER asks; nothing is ever parsed here.

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return encode(TAG.sequence, Buffer.concat(parts));
}

/** With one member, so that the order that DER asks of a set needs no sorting. */
export function setOfOne(part: Uint8Array): Buffer {
  return encode(TAG.set, part);
}

export function boolean(value: boolean): Buffer {
  return encode(TAG.boolean, Buffer.from([value ? 0xff : 0]));
}

/** A non-negative integer, big-endian: leading zeros are removed, and one is added where the sign bit would be set. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first === -1 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first));
  return encode(TAG.integer, (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Buffer.from([0]), digits]));
}

export function octetString(bytes: Uint8Array): Buffer {
  return encode(TAG.octetString, bytes);
}

/** Whole bytes: no bit of the last one is unused. */
export function bitString(bytes: Uint8Array): Buffer {
  return encode(TAG.bitString, Buffer.concat([Buffer.from([0]), bytes]));
}

/** A named bit list (X.680 section 22.7): bit 0 is the highest one, and DER leaves trailing zeros out. */
export function namedBits(...bits: readonly number[]): Buffer {
  const last = Math.max(...bits);
  const bytes = Buffer.alloc(Math.floor(last / 8) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return encode(TAG.bitString, Buffer.concat([Buffer.from([7 - (last & 7)]), bytes]));
}

/** `1.2.840.10045.4.3.2` */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  return encode(TAG.oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

export function utf8String(text: string): Buffer {
  return encode(TAG.utf8String, Buffer.from(text, "utf8"));
}

/** RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on, in whole seconds. */
export function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  const [tag, text] = digits < "2050" ? [TAG.utcTime, digits.slice(2)] : [TAG.generalizedTime, digits];
  return encode(tag, Buffer.from(text, "latin1"));
}

/** `[number]`, explicit: around a whole value. */
export function explicit(number: number, value: Uint8Array): Buffer {
  return encode(CONTEXT | CONSTRUCTED | number, value);
}

/** `[number] IMPLICIT` of a primitive type: in place of its own tag. */
export function implicit(number: number, content: Uint8Array): Buffer {
  return encode(CONTEXT | number, content);
}

function encode(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return [0x80 | digits.length, ...digits];
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest % 128));
  return digits;
}
