import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redactMessage } from "../../../src/upstream/redact-message.ts";

const SALARY = ["/structuredContent/salary"];

function redact(message: string, pointers: readonly string[] = SALARY): string {
  const after = redactMessage(Buffer.from(message), pointers);
  return "reason" in after ? `${after.reason}: ${after.detail ?? ""}` : after.toString();
}

const answer = (result: string): string => `{"jsonrpc":"2.0", "id":7,"result":${result}}`;
const text = (value: string): string => `{"type":"text","text":${JSON.stringify(value)}}`;

describe("redaction in a JSON-RPC message", () => {
  it("cuts a value out of the structured content and out of each text that is the same JSON", () => {
    const same = '{ "name":"Ann", "salary":70000 }';
    const before = answer(
      `{"structuredContent":{"salary":7e4,"name":"Ann"},"content":[${text(same)} , ${text(same)}],"x":1.0}`,
    );
    const cut = text('{ "name":"Ann" }').replace('{"type"', '{"type"');
    assert.equal(redact(before), answer(`{"structuredContent":{"name":"Ann"},"content":[${cut} , ${cut}],"x":1.0}`));
  });

  it("reaches a text alone where the tool gives no structured content", () => {
    const escaped = String.raw`{"type":"text","text":"{\u0022salary\u0022: 1, \"é\": \"\u00e9\"}"}`;
    assert.equal(
      redact(answer(`{"content":[${escaped}]}`)),
      answer(`{"content":[{"type":"text","text":"{\\"é\\": \\"é\\"}"}]}`),
    );
  });

  it("leaves every byte as it is where nothing is to be removed", () => {
    for (const message of [
      answer(`{ "structuredContent":{"name":"A"},"content":[${text('{"name": "A"}')}] }`),
      answer('{"structuredContent":{"name":1.50}}'),
      answer("{}"),
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"salary":1}}',
      '{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"salary"}}',
    ]) {
      assert.equal(redact(message), message);
    }
  });

  it("refuses content that could tell the value in words, in another form or to another reader", () => {
    const structured = '"structuredContent":{"salary":7}';
    const bad = [
      `{${structured},"content":[${text("She earns 7.")}]}`,
      `{${structured},"content":[${text('{"pay":7}')}]}`,
      `{${structured},"content":[${text("7")}]}`,
      `{${structured},"content":[${text('{"salary":7,"salary":7}')}]}`,
      `{${structured},"content":[{"type":"image","data":"Nw==","mimeType":"image/png"}]}`,
      `{${structured},"content":[{"type":"resource","resource":{"uri":"x:y","text":"{\\"salary\\":7}"}}]}`,
      `{${structured},"content":[{"type":"text","text":"{\\"salary\\":7}","Text":"7"}]}`,
      `{${structured},"content":{"0":${text('{"salary":7}')}}}`,
      `{${structured},"content":["7"]}`,
      `{"content":[${text("She earns 7.")}]}`,
      `{${structured},"Content":[]}`,
      `{"StructuredContent":{"salary":7}}`,
      `{"\u017ftructuredContent":{"salary":7}}`,
      `{${structured},${structured}}`,
      "[7]",
      "null",
    ];
    for (const result of bad) assert.match(redact(answer(result)), /^upstream\.cannot_redact: /, result);
    for (const message of [
      `[${answer("{}")}]`,
      '{"id":7,"Result":{"structuredContent":{"salary":7}}}',
      `{"result":{},${answer(`{${structured}}`).slice(1)}`,
      '{"salary":7}',
      "salary: 7",
      answer(`{${structured}}`).slice(0, -1),
      answer(`${'{"a":'.repeat(70)}7${"}".repeat(70)}`),
    ]) {
      assert.match(redact(message), /^upstream\.cannot_redact: /, message);
    }
    const bytes = Buffer.concat([Buffer.from(answer("{}")), Buffer.from([0xff])]);
    assert.ok("reason" in redactMessage(bytes, SALARY));
  });

  it("lets a policy remove what stands beside the value instead", () => {
    const before = answer(`{"structuredContent":{"salary":7,"name":"A"},"content":[${text("She earns 7.")}]}`);
    assert.equal(redact(before, [...SALARY, "/content/0"]), answer('{"structuredContent":{"name":"A"},"content":[]}'));
    assert.equal(redact(before, [...SALARY, "/content"]), answer('{"structuredContent":{"name":"A"}}'));
  });

  it("refuses texts where the whole structured content is to go, and a pointer that ends in a text", () => {
    const before = answer(`{"structuredContent":{"salary":7},"content":[${text('{"salary":7}')}]}`);
    assert.match(redact(before, ["/structuredContent"]), /^upstream\.cannot_redact/);
    assert.equal(redact(before, ["/structuredContent", "/content/0"]), answer('{"content":[]}'));
    assert.match(redact(before, ["/content/0/text/salary"]), /^upstream\.cannot_redact/);
  });

  it("refuses a pointer that leads into a text, a number or a boolean: what it means to remove may be in there", () => {
    for (const salary of ['"7"', "7", "true"]) {
      for (const result of [
        `{"structuredContent":{"salary":${salary}}}`,
        `{"content":[${text(`{"salary":${salary}}`)}]}`,
      ]) {
        assert.match(redact(answer(result), ["/structuredContent/salary/amount"]), /^upstream\.cannot_redact/, result);
      }
    }
    const read = answer('{"contents":[{"uri":"x:y","text":"{\\"salary\\":7}"}]}');
    assert.match(redact(read, ["/contents/0/text/salary"]), /^upstream\.cannot_redact/);
    for (const value of ["null", "{}", "[]", '{"salary":null}']) {
      const message = answer(`{"structuredContent":${value}}`);
      assert.equal(redact(message, ["/structuredContent/salary/amount"]), message);
    }
  });

  it("takes pointers for the result of any other method as they are", () => {
    const read = '{"contents":[{"uri":"x:y","text":"t"}],"ttlMs":1}';
    assert.equal(redact(answer(read), ["/contents/0/text"]), answer('{"contents":[{"uri":"x:y"}],"ttlMs":1}'));
  });

  it("reads a long list of texts once", () => {
    const item = text('{"salary":7,"n":1}');
    const before = answer(`{"content":[${Array.from({ length: 20_000 }, () => item).join(",")}]}`);
    assert.doesNotMatch(redact(before), /salary/);
  });
});
