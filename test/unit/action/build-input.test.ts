import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildInput, createRouteInput } from "../../../src/action/build-input.ts";

/** The four claims and the token, serialised as `Agent.claimsJson` is. */
const CLAIMS =
  '"agent":{"id":"spiffe://acme.example/agent/o/t/i"},"principal":{},"intent":{},"provenance":{},"session":{},"token":{}';

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom('"', "\\", '","x":"', "}", "\u2028", "\ud800", "__proto__", "\u0000"),
);
const record = fc.dictionary(text, text, { noNullPrototype: false });

test("the input has exactly the members of the contract, whatever text occurs in a request", () => {
  fc.assert(
    fc.property(
      fc.record({
        name: text,
        tool: fc.option(text, { nil: undefined }),
        type: text,
        classification: text,
        owner: text,
        attributes: record,
      }),
      fc.record({
        method: text,
        params: record,
        query: record,
        segments: fc.array(text),
        host: text,
        sourceIp: text,
        gateway: text,
      }),
      fc.option(fc.jsonValue(), { nil: null }),
      ({ name, tool, ...resource }, { method, params, query, segments, host, sourceIp, gateway }, body) => {
        const json = buildInput({
          claimsJson: CLAIMS,
          route: createRouteInput({ name, tool, resource }),
          method,
          bodyText: body === null ? null : JSON.stringify(body),
          target: { path: "", search: "", segments, encodedSlash: false, query },
          params,
          host,
          timeMs: 1_767_225_600_123,
          sourceIp,
          gateway,
        });
        // Through JSON once, so that lone surrogates and names such as `__proto__` are compared as text.
        const same = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
        assert.deepEqual(JSON.parse(json), {
          ...(JSON.parse(`{${CLAIMS}}`) as object),
          action: {
            kind: "http",
            method: same(method),
            tool: same(tool ?? name),
            arguments: same(body),
            http: { method: same(method) },
          },
          resource: {
            route: same(name),
            ...(same(resource) as object),
            params: same(params),
            host: same(host),
            path: same(segments),
            query: same(query),
          },
          environment: { time: "2026-01-01T00:00:00.123Z", source_ip: same(sourceIp), gateway: same(gateway) },
        });
      },
    ),
    { numRuns: 500 },
  );
});

test("a body that is not there or not inspected is null to the policy", () => {
  const route = createRouteInput({
    name: "r",
    resource: { type: "t", classification: "c", owner: "", attributes: {} },
  });
  const target = { path: "/", search: "", segments: [""], encodedSlash: false, query: {} };
  const json = buildInput({
    claimsJson: CLAIMS,
    route,
    method: "GET",
    bodyText: null,
    target,
    params: {},
    host: "h",
    timeMs: 0,
    sourceIp: "",
    gateway: "g",
  });
  const { action } = JSON.parse(json) as { action: Record<string, unknown> };
  assert.equal(action["arguments"], null);
  assert.equal(action["tool"], "r", "a route without a tool's name is named by its own");
});
