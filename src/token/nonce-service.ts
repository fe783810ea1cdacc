// In: the time and a secret that all threads share. Out: server nonces for proofs (RFC 9449 section 8).
// Stateless: a nonce is a keyed hash of its time bucket, so any thread can check what another gave out.
import { createHmac, timingSafeEqual } from "node:crypto";

export interface NonceService {
  /** The nonce of the current bucket. */
  issue(nowMs: number): string;
  /** True for the nonce of the current and of the previous bucket. */
  check(nonce: string, nowMs: number): boolean;
}

/** A nonce works for one to two of these, so a client asks for a new one every few minutes at most. */
const BUCKET_MS = 120_000;
const NONCE_BYTES = 16;

/** `secret`: 32 random bytes of this process, the same for all its threads. */
export function createNonceService(secret: Uint8Array, bucketMs: number = BUCKET_MS): NonceService {
  let bucket = Number.NaN;
  let current = "";
  let previous = "";

  function nonceOf(number: number): string {
    const mac = createHmac("sha256", secret).update(`dpop-nonce ${number}`).digest();
    return mac.toString("base64url", 0, NONCE_BYTES);
  }

  function moveTo(nowMs: number): void {
    const number = Math.floor(nowMs / bucketMs);
    if (number === bucket) return;
    bucket = number;
    current = nonceOf(number);
    previous = nonceOf(number - 1);
  }

  return {
    issue(nowMs) {
      moveTo(nowMs);
      return current;
    },
    check(nonce, nowMs) {
      moveTo(nowMs);
      return equalInConstantTime(nonce, current) || equalInConstantTime(nonce, previous);
    },
  };
}

function equalInConstantTime(left: string, right: string): boolean {
  const [leftBytes, rightBytes] = [Buffer.from(left), Buffer.from(right)];
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes);
}
