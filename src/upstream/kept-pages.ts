// In: messages, and how to read one. Out: what was read of it, also of one that came before byte by byte. A server nearly
// always sends the same list, and reading it costs more than all that is asked about it. Trusts: nothing; only a message
// whose every byte is the same is the same, and how it is read depends on nothing but its bytes and the key.
//
// What is kept says what stands in a message. Who may see it is asked anew for each answer.
import type { ListMessage, ListShape } from "./read-lists.ts";

/** Of all messages of a thread: some twelve lists of 500 tools. */
const PAGES_KEPT_MAX = 16 * 1024 * 1024;
/** One of them holds at most this part. */
const PAGE_SHARE = 1 / 4;
/** To read a smaller one costs no more than to look for it. */
const PAGE_BYTES_MIN = 4096;
/** What a page counts for: its bytes, and for each of them what may have been made of it, in UTF-16. */
const COUNTED_PER_BYTE = 4;
/** Objects of an item. */
const COUNTED_PER_ITEM = 512;

interface Page<S extends ListShape, T> {
  readonly key: string;
  readonly bytes: Buffer;
  readonly message: ListMessage<S, T>;
  readonly counted: number;
}

export class KeptPages<S extends ListShape, T> {
  /** In the order of their last use. */
  readonly #pages = new Set<Page<S, T>>();
  #counted = 0;

  /** `key` tells how a message is read. What cannot be read is null, and is not kept. */
  read(key: string, bytes: Buffer, read: () => ListMessage<S, T> | null): ListMessage<S, T> | null {
    if (bytes.length < PAGE_BYTES_MIN) return read();
    for (const page of this.#pages) {
      if (page.key !== key || !page.bytes.equals(bytes)) continue;
      this.#pages.delete(page);
      this.#pages.add(page);
      return page.message;
    }
    const message = read();
    if (message !== null && message.lists.length > 0) this.#keep(key, bytes, message);
    return message;
  }

  #keep(key: string, bytes: Buffer, message: ListMessage<S, T>): void {
    const items = message.lists.reduce((count, { elements }) => count + elements.length, 0);
    const counted = bytes.length * (1 + COUNTED_PER_BYTE) + items * COUNTED_PER_ITEM;
    if (counted > PAGES_KEPT_MAX * PAGE_SHARE) return;
    this.#counted += counted;
    // A copy: what came in may be a part of more, and is its sender's to change.
    this.#pages.add({ key, bytes: Buffer.from(bytes), message, counted });
    for (const oldest of this.#pages) {
      if (this.#counted <= PAGES_KEPT_MAX) break;
      this.#pages.delete(oldest);
      this.#counted -= oldest.counted;
    }
  }
}
