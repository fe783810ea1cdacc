// Budgets as policy sees them: a part that it keeps, and an open stream that is judged again by what others have used.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway } from "../fixtures/test-gateway.ts";
import { skipWithoutOpa } from "./opa-for-tests.ts";

const LIMIT = { timeout: 90_000, skip: skipWithoutOpa };

const POLICY = `package cordon

default decision := {"allow": false, "reasons": [{"code": "test.keeps_one"}], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if input.budget.calls.calls_total.remaining > 1
`;

const STREAM_POLICY = `package cordon

default decision := {"allow": false, "reasons": [{"code": "test.keeps_two"}], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if {
	input.budget.calls.calls_total.remaining > data.keep[input.resource.route]
}
`;

test("an open stream is judged again by what others have used, without its own call", LIMIT, async (t) => {
  const keep = { stream: 2, many: 0 };
  const g = await startTestGateway(({ folder, toolUrl }) => {
    mkdirSync(path.join(folder, "rego"));
    writeFileSync(path.join(folder, "rego", "decision.rego"), STREAM_POLICY);
    writeFileSync(path.join(folder, "rego", "data.json"), JSON.stringify({ keep }));
    return {
      policy: { source: "rego", watch: false },
      routes: [toolRoute("stream", toolUrl), toolRoute("many", toolUrl)],
      budgets: [{ name: "calls", per: ["task"], calls_total: 3, calls_per_minute: 3, concurrent: 3 }],
    };
  });
  t.after(() => g.close());
  const agent = await g.agent();
  const events: ServerResponse[] = [];
  g.tool.answer = (request, response) => {
    response.writeHead(200, { "content-type": request.url === "/stream/1" ? "text/event-stream" : "text/plain" });
    if (request.url === "/stream/1") {
      response.write("data: one\n\n");
      events.push(response);
    } else response.end("done");
  };
  const url = `${g.url}/stream/1`;
  const stream = request(url, { headers: await agent.headers(url), agent: false }).end();
  const [response] = (await once(stream, "response")) as [IncomingMessage];
  await once(response, "data");
  const cut = new Promise<void>((resolve) => response.once("close", () => resolve()));
  const judged = async (): Promise<void> => {
    const answer = await g.operate("PUT", "/v1/policy/data", { keep, changed: performance.now() });
    assert.equal(answer.status, 200, answer.text);
  };
  await judged();
  // Its own call is not held against it: the next event comes through.
  events[0]?.write("data: two\n\n");
  await once(response, "data");
  response.on("error", () => undefined);
  // Nobody switches anything: what is used is enough to ask again.
  assert.equal((await agent.call(`${g.url}/many/1`)).status, 200);
  await cut;
  const mine = (line: Record<string, unknown>): boolean => line["reason"] === "stream.cut_policy";
  assert.ok((await g.lines("access", mine)).some(mine));
});

test("a policy can keep a part of a budget", LIMIT, async (t) => {
  const g = await startTestGateway(({ folder, toolUrl }) => {
    mkdirSync(path.join(folder, "rego"));
    writeFileSync(path.join(folder, "rego", "decision.rego"), POLICY);
    return {
      policy: { source: "rego", watch: false },
      routes: [toolRoute("many", toolUrl), toolRoute("free", toolUrl)],
      budgets: [{ name: "calls", match: { routes: ["many"] }, per: ["agent"], calls_total: 3 }],
    };
  });
  t.after(() => g.close());
  const agent = await g.agent();
  const statuses: number[] = [];
  for (let call = 0; call < 4; call++) statuses.push((await agent.call(`${g.url}/many/1`)).status);
  assert.deepEqual(statuses, [200, 200, 403, 403]);
  assert.equal((await agent.call(`${g.url}/free/1`)).status, 403, "no budget matches, so nothing is there to compare");
});
