import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildInput, createRouteInput, cutInputText, inputText } from "../../../src/action/build-input.ts";
import type { McpCall } from "../../../src/action/mcp/read-call.ts";

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

test("a message of MCP is exactly its members, whatever text it names, and the log shows no value of it", () => {
  const route = createRouteInput({
    name: "r",
    resource: { type: "t", classification: "c", owner: "", attributes: {} },
  });
  const target = { path: "", search: "", segments: [], encodedSlash: false, query: {} };
  fc.assert(
    fc.property(
      text,
      text,
      fc.option(fc.record({ kind: fc.constantFrom("tool", "prompt", "resource", "task"), name: text }), {
        nil: undefined,
      }),
      fc.dictionary(text, fc.jsonValue()),
      fc.option(fc.dictionary(text, fc.jsonValue()), { nil: undefined }),
      (method, server, item, given, params) => {
        const call: McpCall = {
          version: "2026-07-28",
          class: "use",
          method,
          id: 1,
          item,
          arguments: given,
          params,
          lists: [],
        };
        const parts = {
          claimsJson: CLAIMS,
          route,
          method: "POST",
          bodyText: JSON.stringify(given),
          mcp: { call, server },
          target,
          params: {},
          host: "h",
          timeMs: 0,
          sourceIp: "",
          gateway: "g",
        };
        const same = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
        const members = {
          kind: "mcp",
          class: "use",
          method: same(method),
          protocol_version: "2026-07-28",
          server: same(server),
          http: { method: "POST" },
        };
        const { action } = JSON.parse(buildInput(parts)) as { action: object };
        assert.deepEqual(action, {
          ...members,
          ...(item === undefined ? {} : { [item.kind]: same(item.name) }),
          arguments: same(given),
          ...(params === undefined ? {} : { params: same(params) }),
        });
        const logged = cutInputText(parts, inputText(parts), 1000);
        const shown = JSON.parse(`{${logged.beforeArguments}{}${logged.afterArguments}{}${logged.afterQuery}}`) as {
          action: Record<string, unknown>;
        };
        assert.deepEqual(
          Object.keys(shown.action).filter((name) => name === "params" || name === item?.kind),
          item === undefined ? [] : [item.kind],
        );
        if (item?.kind === "task") assert.equal(shown.action["task"], "");
        if (item?.kind === "resource") assert.doesNotMatch(String(shown.action["resource"]), /[?#]/);
      },
    ),
  );
});
