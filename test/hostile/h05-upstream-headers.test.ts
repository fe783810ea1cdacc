import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { call, gateway, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

const STRIPPED = [
  "X-Cordon-Agent",
  "x_cordon_agent",
  "X-Cordon_Task",
  "X-Forwarded-For",
  "X_Forwarded_For",
  "X-Forwarded-Client-Cert",
  "Forwarded",
  "X-Real-IP",
  "x_real_ip",
  "Client-Cert",
  "Client-Cert-Chain",
  "client_cert",
  "Authorization",
  "DPoP",
  "Cookie",
  "Proxy-Authorization",
  "TE",
  "Keep-Alive",
  "Proxy-Connection",
  "X-HTTP-Method-Override",
  "X-Original-URL",
];

describe("H05: headers that only the gateway may send", () => {
  it("a tool sees the gateway's own, once, and none of the client's", async (t) => {
    let head = "";
    const tool = await rawTool(t, (socket, text) => {
      head = text;
      socket.end(
        'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Cordon-Agent: me\r\nConnection: x-hop\r\nX-Hop: 1\r\nWWW-Authenticate: DPoP\r\nAlt-Svc: h2=":1"\r\nDPoP-Nonce: n\r\nX-Kept: 1\r\n\r\n',
      );
    });
    const gate = await gateway(t, upstreamConfig(tool), {
      identity: [["x-cordon-agent", "spiffe://acme/agent/o/t/i"]],
    });
    const headers = Object.fromEntries(STRIPPED.map((name) => [name, "forged"]));
    const answer = await call(`${gate.origin}/a?b=%41`, {
      headers: {
        ...headers,
        Connection: "close, X-Named",
        "X-Named": "1",
        "X-Passes": "yes",
        "Accept-Encoding": "gzip",
      },
    });
    assert.deepEqual(
      head.split("\r\n").filter((line) => line !== ""),
      [
        "GET /a?b=%41 HTTP/1.1",
        `host: ${new URL(tool).host}`,
        "connection: keep-alive",
        "X-Passes: yes",
        "Accept-Encoding: gzip",
        "x-cordon-agent: spiffe://acme/agent/o/t/i",
      ],
    );
    const { date, connection, ...rest } = answer.headers;
    assert.ok(date !== undefined && connection !== undefined);
    assert.deepEqual(rest, { "content-length": "0", "x-kept": "1" });
  });
});
