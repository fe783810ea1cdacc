import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import {
  isStrippedFromRequest,
  requestHeaders,
  responseHeaders,
  trailerFields,
} from "../../../src/upstream/header-rules.ts";

const GATEWAY_ONLY = [
  "x-cordon-agent",
  "x-forwarded-for",
  "authorization",
  "dpop",
  "client-cert",
  "host",
  "content-length",
  "cookie",
  "te",
  "trailer",
  "expect",
  "transfer-encoding",
  "upgrade",
  "proxy",
];
const spelled = fc
  .tuple(fc.constantFrom(...GATEWAY_ONLY), fc.infiniteStream(fc.boolean()), fc.constantFrom("-", "_", ".", "~", "!"))
  .map(([name, upper, sign]) => {
    const cased = name
      .split("")
      .map((c) => (upper.next().value ? c.toUpperCase() : c))
      .join("");
    return cased.replaceAll("-", sign);
  });
const plain = fc.constantFrom("Accept", "content-type", "X-Kept", "Mcp-Session-Id", "traceparent", "range");

describe("requestHeaders", () => {
  it("never passes a gateway's name in any spelling, and always its own headers once", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(spelled, plain)), (names) => {
        const own = [
          ["x-cordon-agent", "a"],
          ["traceparent", "t"],
        ] as const;
        const out = requestHeaders(
          names.flatMap((name) => [name, "client"]),
          own,
          false,
        );
        const pairs = Array.from({ length: out.length / 2 }, (_, i) => [out[2 * i] as string, out[2 * i + 1]] as const);
        for (const [name, value] of pairs) {
          if (value === "client") assert.ok(!isStrippedFromRequest(name.toLowerCase()) && name !== "traceparent");
        }
        assert.deepEqual(pairs.slice(-2), own);
        const kept = names.filter((name) =>
          ["accept", "content-type", "x-kept", "mcp-session-id", "range"].includes(name.toLowerCase()),
        );
        assert.deepEqual(
          pairs.slice(0, -2).map(([name]) => name),
          kept,
        );
      }),
    );
  });

  it("drops a client's spelling of the tool's credential, also where its own name has an underscore", () => {
    const raw = ["X_Api_Key", "client", "x-api-key", "client", "X.Api.Key", "client", "X-Api", "kept"];
    for (const name of ["x_api_key", "x-api-key"]) {
      assert.deepEqual(requestHeaders(raw, [[name, "own"]], false), ["X-Api", "kept", name, "own"]);
    }
  });

  it("drops what Connection names, wherever it stands", () => {
    const raw = ["X-A", "1", "Connection", "close, x-a , X-B", "x-b", "2", "x-c", "3"];
    assert.deepEqual(requestHeaders(raw, [], false), ["x-c", "3"]);
  });

  it("drops what asks for a part or an encoding only where redaction may apply", () => {
    const raw = ["Accept-Encoding", "gzip", "Range", "bytes=0-1", "If-Range", "x", "Accept", "*/*"];
    assert.deepEqual(requestHeaders(raw, [], true), ["Accept", "*/*"]);
    assert.deepEqual(requestHeaders(raw, [], false), raw);
  });
});

describe("responseHeaders", () => {
  it("keeps repeated headers, drops hop-by-hop and the gateway's names", () => {
    const headers = {
      "set-cookie": ["a", "b"],
      connection: "x-hop",
      "x-hop": "1",
      "x-cordon-a": "1",
      "x-accel-redirect": "/secret",
      "x-sendfile": "/etc/passwd",
      "transfer-encoding": "chunked",
      etag: "e",
    };
    assert.deepEqual(responseHeaders(headers, [["x-request-id", "r"]], false), [
      "set-cookie",
      "a",
      "set-cookie",
      "b",
      "etag",
      "e",
      "x-request-id",
      "r",
    ]);
    assert.deepEqual(responseHeaders({ etag: "e", "content-length": "3" }, [], true), []);
  });
});

describe("trailerFields", () => {
  it("drops what RFC 9110 6.5.1 does not allow", () => {
    assert.deepEqual(trailerFields({ "x-sum": ["1", "2"], "content-length": "1", "set-cookie": ["a"] }), [
      ["x-sum", "1"],
      ["x-sum", "2"],
    ]);
  });
});
