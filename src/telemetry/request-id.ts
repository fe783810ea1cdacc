// In: nothing. Out: ids that are unique across threads and restarts, cheap enough for every exchange.
// Trusts: node:crypto for the random prefix of each generator.
import { randomBytes } from "node:crypto";

/** 96 random bits: two generators, of two threads or two starts, will not share a prefix. */
const PREFIX_BYTES = 12;
/** 7 base-36 digits: enough for 78 thousand million ids of one generator at a fixed width. */
const COUNTER_DIGITS = 7;
const COUNTER_MAX = 36 ** COUNTER_DIGITS;

/**
 * Makes a generator for one thread. An id is 16 characters of random base64url, one dot-free separator
 * and a counter: `Zm9v..-0000001`. It names an exchange or a decision; it is not a secret.
 */
export function createIdGenerator(): () => string {
  let prefix = newPrefix();
  let counter = 0;
  return () => {
    counter += 1;
    if (counter >= COUNTER_MAX) {
      prefix = newPrefix();
      counter = 1;
    }
    return prefix + counter.toString(36).padStart(COUNTER_DIGITS, "0");
  };
}

function newPrefix(): string {
  return `${randomBytes(PREFIX_BYTES).toString("base64url")}-`;
}
