import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { inputText } from "../../src/action/build-input.ts";
import { safeJsonText } from "../../src/lib/safe-json-text.ts";
import { accessLine } from "../../src/telemetry/access-line.ts";
import { decisionLine } from "../../src/telemetry/decision-line.ts";
import type { AccessEntry } from "../../src/telemetry/log-entries.ts";
import { createInputMask } from "../../src/telemetry/mask-input.ts";
import { createServiceLog } from "../../src/telemetry/service-log.ts";
import { access, agentWith, asked, decision } from "../unit/telemetry/entries.ts";

const RAW_CONTROL = new RegExp(
  String.raw`[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]`,
);
const NASTY = [
  "\r\n",
  "\u001b[2J",
  "\u009b31m",
  "\u2028",
  "\u2029",
  "\u202e",
  "\u2066",
  '"',
  "\\",
  "\0",
  "\ud800",
  '","status":200,"x":"',
];
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.oneof(fc.constantFrom(...NASTY), fc.string()), { maxLength: 8 }).map((parts) => parts.join("")),
);

function assertOneSafeLine(line: string): Record<string, unknown> {
  assert.equal(line.indexOf("\n"), line.length - 1);
  assert.ok(!RAW_CONTROL.test(line), JSON.stringify(line));
  assert.ok(line.isWellFormed());
  return JSON.parse(line) as Record<string, unknown>;
}

const ACCESS_FIELDS = Object.keys(assertOneSafeLine(accessLine(access({}))));
const DECISION_FIELDS = Object.keys(assertOneSafeLine(decisionLine(decision({}), "{}", createInputMask([]))));

test("H24: whatever stands in a field, an access-log entry is one JSON line with the same fields and no control character", () => {
  fc.assert(
    fc.property(text, text, text, text, text, text, (host, path, method, detail, sourceIp, jti) => {
      const { token } = agentWith({}).claims;
      const agent = agentWith({ token: { ...token, jti } });
      const record = assertOneSafeLine(accessLine(access({ host, path, method, detail, sourceIp, agent })));
      assert.deepEqual(Object.keys(record), ACCESS_FIELDS);
      assert.equal(record["status"], 200);
    }),
    { numRuns: 500 },
  );
});

test("H24: the same holds for the decision log, its claims, parameters and policy reasons", () => {
  const mask = createInputMask(["query.q", "arguments./a", "attributes.x"]);
  fc.assert(
    fc.property(text, text, text, text, (a, b, c, d) => {
      const { principal } = agentWith({}).claims;
      const agent = agentWith({ principal: { ...principal, id: a, attributes: { x: b } } });
      const entry = decision({
        agent,
        decision: { allow: false, reasons: [{ code: c, detail: d }], obligations: { redact: [a] } },
      });
      const { target } = asked({});
      const input = asked({
        params: { [a]: b },
        target: { ...target, segments: [c] },
        host: d,
        method: a,
        sourceIp: b,
      });
      const line = decisionLine(
        { ...entry, inputText: inputText(input), arguments: { a: c }, query: { q: d }, sourceIp: b, detail: c },
        "{}",
        mask,
      );
      assert.deepEqual(Object.keys(assertOneSafeLine(line)), DECISION_FIELDS);
    }),
    { numRuns: 500 },
  );
});

const part = fc.stringMatching(/^[A-Za-z0-9_-]{8,40}$/);
const header = fc
  .tuple(fc.constantFrom("", " ", "\n", "\r\n", "\t"), part)
  .map(([space, kid]) => Buffer.from(`{${space}"alg":"ES256","kid":"${kid}"}`).toString("base64url"));

test("H24: a token, a proof or an Authorization value in any text field is redacted", () => {
  fc.assert(
    fc.property(
      header,
      part,
      part,
      fc.constantFrom("", "Bearer ", "DPoP ", "dpop%20", "/x/", "a="),
      (head, payload, signature, before) => {
        const secret = `${before}${head}.${payload}.${signature}`;
        for (const field of [
          "host",
          "path",
          "method",
          "detail",
          "sourceIp",
          "route",
          "listener",
        ] as (keyof AccessEntry)[]) {
          const line = accessLine(access({ [field]: secret }));
          assertOneSafeLine(line);
          for (const piece of [head, `${payload}.`, signature]) assert.ok(!line.includes(piece), `${field}: ${line}`);
        }
      },
    ),
    { numRuns: 200 },
  );
  for (const value of ["Bearer hunter2", "basic  dXNlcjpwYXNz", "DPoP\topaque-token", "bearer%20hunter2"]) {
    const secret = value.replace(/^\w+?(?:%20|\s+)/, "");
    assert.ok(!accessLine(access({ detail: value })).includes(secret), value);
  }
});

test("H24: no query, body or attribute value reaches a log unless it is listed, and the line says what was removed", () => {
  const record = (fields: string[]) => {
    const line = decisionLine(decision({}), "{}", createInputMask(fields));
    return {
      line,
      ...(JSON.parse(line) as { erased: string[]; masked: string[]; input: Record<string, Record<string, unknown>> }),
    };
  };
  const strict = record([]);
  assert.ok(!/secret-(badge|note|view)/.test(strict.line));
  assert.deepEqual(strict.erased, ["/input/principal/attributes", "/input/action/arguments", "/input/resource/query"]);
  const open = record(["query.page", "arguments./job/id"]);
  assert.ok(!/secret-(badge|note|view)/.test(open.line));
  assert.deepEqual(open.input["resource"]?.["query"], { page: "2" });
  assert.deepEqual(open.input["action"]?.["arguments"], { "/job/id": "J42" });
  assert.deepEqual(open.masked, ["/input/action/arguments", "/input/resource/query"]);
  assert.ok(!accessLine(access({ path: "/a?token=secret" })).includes("secret"));
});

test("H24: the service log writes one safe line for any message and field, as JSON and as text", () => {
  for (const format of ["json", "text"] as const) {
    fc.assert(
      fc.property(text, text, (message, value) => {
        let written = "";
        const log = createServiceLog({ level: "info", format, write: (line) => (written += line) });
        log.warn(message, { value, error: new Error(value) });
        assert.equal(written.indexOf("\n"), written.length - 1);
        assert.ok(!RAW_CONTROL.test(written), JSON.stringify(written));
      }),
    );
  }
});

test("H24: making a line safe keeps the document the same", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      fc.pre(!/bearer|dpop|basic|e[yw]/i.test(json));
      assert.deepEqual(JSON.parse(safeJsonText(json)), JSON.parse(json));
    }),
  );
});
