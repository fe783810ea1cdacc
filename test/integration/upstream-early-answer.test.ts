import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";
import { deny } from "../../src/errors.ts";
import { DISCARD_BYTES_MAX } from "../../src/upstream/discard-upload.ts";
import { type Gateway, gateway, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

interface RawClient {
  readonly socket: net.Socket;
  /** Everything that came so far, once it holds `text`. */
  received(text: string): Promise<string>;
  /** Everything that came, once the connection is closed. */
  closed(): Promise<string>;
}

function rawClient(t: TestContext, gate: Gateway): RawClient {
  const socket = net.connect(gate.port, "127.0.0.1").setEncoding("latin1");
  socket.on("error", () => undefined); // a reset by the gateway is seen by the close
  t.after(() => socket.destroy());
  let text = "";
  socket.on("data", (chunk) => {
    text += String(chunk);
  });
  const ended = new Promise((resolve) => socket.once("close", resolve));
  return {
    socket,
    received: async (part) => {
      while (!text.includes(part)) await once(socket, "data");
      return text;
    },
    closed: async () => {
      await ended;
      return text;
    },
  };
}

/** A tool that answers when it has the head of a request. */
function hastyTool(t: TestContext, answer: string): Promise<string> {
  return rawTool(t, (socket) => socket.write(answer));
}

const WITH_LENGTH = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n";

describe("H17: a tool that answers before it has the whole upload", () => {
  for (const [title, toolAnswer, end] of [
    ["with a length", WITH_LENGTH, "\r\n\r\nearly"],
    ["in chunks", CHUNKED, "early\r\n0\r\n\r\n"],
  ] as const) {
    it(`${title}: a small rest is read, and the connection serves the next request`, async (t) => {
      const gate = await gateway(t, upstreamConfig(await hastyTool(t, toolAnswer)), { bodyLength: DISCARD_BYTES_MAX });
      const { socket, received } = rawClient(t, gate);
      socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${DISCARD_BYTES_MAX}\r\n\r\nx`);
      const first = await received(end);
      assert.doesNotMatch(first, /connection: close/i);
      socket.write(Buffer.alloc(DISCARD_BYTES_MAX - 1));
      socket.write("GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await received(`${first}HTTP/1.1 200 OK\r\n`);
    });

    it(`${title}: a large rest ends the connection, after an answer that is whole and says so`, async (t) => {
      const bodyLength = 2 ** 30;
      const gate = await gateway(t, upstreamConfig(await hastyTool(t, toolAnswer)), { bodyLength });
      const outcome = gate.nextOutcome();
      const { socket, closed } = rawClient(t, gate);
      let written = 0;
      const more = () => {
        while (socket.writable && socket.write(Buffer.alloc(65_536))) written += 65_536;
      };
      socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bodyLength}\r\n\r\n`);
      socket.on("drain", more);
      more();
      const answer = await closed();
      assert.match(answer, /connection: close/i);
      assert.ok(answer.endsWith(end), answer);
      assert.ok(written < 50_000_000, `${written} bytes were taken`);
      const { failure, requestComplete } = await outcome;
      assert.deepEqual([failure, requestComplete], [null, false]);
    });

    it(`${title}: an upload without a length that goes silent is not waited for`, async (t) => {
      const gate = await gateway(t, upstreamConfig(await hastyTool(t, toolAnswer)));
      const { socket, closed } = rawClient(t, gate);
      socket.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
      const answer = await closed();
      assert.match(answer, /connection: close/i);
      assert.ok(answer.endsWith(end), answer);
    });
  }

  it("in chunks: the connection is closed behind the end of the upload, not in front of it", async (t) => {
    const gate = await gateway(t, upstreamConfig(await hastyTool(t, CHUNKED)));
    const { socket, received, closed } = rawClient(t, gate);
    socket.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    assert.ok((await received("early\r\n")).endsWith("early\r\n"), "the end of the answer is held back");
    socket.write("1\r\ny\r\n0\r\n\r\n");
    assert.ok((await closed()).endsWith("early\r\n0\r\n\r\n"));
    assert.equal(socket.errored, null);
  });

  it("and a refusal by the gateway: the rest is read as well", async (t) => {
    const gate = await gateway(t, upstreamConfig(await hastyTool(t, WITH_LENGTH)), {
      bodyLength: DISCARD_BYTES_MAX,
      beforeSend: () => deny("containment.blocked"),
    });
    const { socket, received } = rawClient(t, gate);
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${DISCARD_BYTES_MAX}\r\n\r\nx`);
    const first = await received("0\r\n\r\n");
    assert.match(first, /x-reason: containment\.blocked/);
    socket.write(Buffer.alloc(DISCARD_BYTES_MAX - 1));
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    await received(`${first}HTTP/1.1 403 Forbidden\r\n`);
  });
});
