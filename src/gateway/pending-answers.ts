// In: the connections of a thread on which an answer is still owed. Out: a 503 on each, when the thread is ended (H12).
// A thread in an endless loop cannot answer, and closing its connections in silence tells a client nothing. Descriptors
// are shared by all threads of a process, so the supervisor can write the last words just before it ends the thread.
// Only for plain connections: on TLS the keys are the thread's own, and the client sees the connection close.
import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import { deny, REASONS } from "../errors.ts";
import { problemDocument } from "./exchange/answer.ts";

/** Connections of one thread that can be answered for; further ones are closed without an answer. */
const SLOTS = 4096;

export interface PendingAnswers {
  /** An answer is owed on this connection. Does nothing on TLS, and where no slot is free. */
  owed(socket: Socket): void;
  /** One answer has begun, or its exchange has ended. */
  settled(socket: Socket): void;
}

export function createPendingBuffer(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * SLOTS * Int32Array.BYTES_PER_ELEMENT);
}

function wordsOf(shared: SharedArrayBuffer, thread: number): Int32Array {
  return new Int32Array(shared, thread * SLOTS * Int32Array.BYTES_PER_ELEMENT, SLOTS);
}

/** Called when a thread has ended, however it ended: its descriptors are the system's again. */
export function forgetPending(shared: SharedArrayBuffer, thread: number): void {
  wordsOf(shared, thread).fill(0);
}

/** The table as its thread uses it. A slot holds the descriptor plus one; zero is free. */
export function attachPendingAnswers(shared: SharedArrayBuffer, thread: number): PendingAnswers {
  const words = wordsOf(shared, thread);
  const free = Array.from({ length: SLOTS }, (_, slot) => SLOTS - 1 - slot);
  const connections = new WeakMap<Socket, { slot: number; owed: number }>();

  /** A descriptor is used again as soon as its connection is closed: by then it must stand nowhere here. */
  function register(socket: Socket): { slot: number; owed: number } | undefined {
    const slot = "encrypted" in socket || socket.destroyed ? undefined : free.pop();
    if (slot === undefined) return undefined;
    const entry = { slot, owed: 0 };
    connections.set(socket, entry);
    socket.once("close", () => {
      Atomics.store(words, slot, 0);
      entry.owed = 0;
      connections.delete(socket);
      free.push(slot);
    });
    return entry;
  }

  return {
    owed(socket) {
      const entry = connections.get(socket) ?? register(socket);
      if (entry === undefined) return;
      // With a second request behind the first, nobody can tell from outside where in an answer the connection stands.
      if (++entry.owed > 1) {
        Atomics.store(words, entry.slot, 0);
        return;
      }
      const fd = (socket as Socket & { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
      if (fd >= 0) Atomics.store(words, entry.slot, fd + 1);
    },
    settled(socket) {
      const entry = connections.get(socket);
      if (entry === undefined || entry.owed === 0) return;
      if (--entry.owed === 0) Atomics.store(words, entry.slot, 0);
    },
  };
}

/** Called by the supervisor for a thread that no longer turns its loop, right before it is ended. Returns how many. */
export function answerForThread(shared: SharedArrayBuffer, thread: number, requestId: string): number {
  const denial = deny("gateway.thread_ended");
  const body = problemDocument(denial, requestId);
  const answer =
    `HTTP/1.1 ${REASONS[denial.reason].status} Service Unavailable\r\ncontent-type: application/problem+json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\nretry-after: 1\r\n` +
    `connection: close\r\n\r\n${body}`;
  let answered = 0;
  const words = wordsOf(shared, thread);
  for (let slot = 0; slot < words.length; slot++) {
    const word = Atomics.exchange(words, slot, 0);
    if (word === 0) continue;
    try {
      writeSync(word - 1, answer);
      answered++;
    } catch {
      // EPIPE, EAGAIN or EBADF: the client is gone or does not read; there is nobody to tell.
      continue;
    }
  }
  return answered;
}
