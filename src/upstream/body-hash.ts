// In: the chunks of a body. Out: their count of bytes and hex SHA-256, null where there were none.
// Trusts: nobody changes a chunk after it was added.
import { createHash, type Hash, hash } from "node:crypto";

export class BodyHash {
  bytes = 0;
  #first: Uint8Array | null = null;
  #rest: Hash | null = null;

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    // Most bodies are one chunk: those are hashed in one call, without an object of their own.
    if (this.#first === null) this.#first = chunk;
    else (this.#rest ??= createHash("sha256").update(this.#first)).update(chunk);
  }

  hex(): string | null {
    if (this.#first === null) return null;
    return this.#rest === null ? hash("sha256", this.#first, "hex") : this.#rest.copy().digest("hex");
  }
}
