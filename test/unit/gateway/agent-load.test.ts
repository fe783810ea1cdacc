import assert from "node:assert/strict";
import { test } from "node:test";
import { createAgentLoad } from "../../../src/gateway/agent-load.ts";

test("what an agent has open is counted while it is open, and nothing is kept of agents with nothing open", () => {
  const load = createAgentLoad({ exchanges_per_agent_max: 2, streams_per_agent_max: 1, streams_max: 1 });
  assert.deepEqual([load.enter("a"), load.enter("a")], [null, null]);
  assert.equal(load.enter("a")?.reason, "gateway.agent_overloaded");
  assert.equal(load.enter("b"), null);
  assert.equal(load.size, 2);
  assert.equal(load.openStream("a"), null);
  assert.equal(load.openStream("b")?.reason, "stream.too_many");
  load.closeStream("a");
  assert.equal(load.openStream("b"), null);
  load.closeStream("b");
  for (const agent of ["a", "a", "b"]) load.leave(agent);
  assert.equal(load.size, 0);
});
