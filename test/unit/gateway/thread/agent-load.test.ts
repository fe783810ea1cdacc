import assert from "node:assert/strict";
import { test } from "node:test";
import { createAgentLoad } from "../../../../src/gateway/thread/agent-load.ts";

test("what an agent has open is counted while it is open, and nothing is kept of agents with nothing open", () => {
  const load = createAgentLoad({
    exchanges_per_agent_max: 2,
    streams_per_agent_max: 1,
    streams_max: 1,
    bodies_bytes_max: 400,
  });
  assert.deepEqual([load.enter("a"), load.enter("a")], [null, null]);
  assert.equal(load.enter("a")?.reason, "gateway.agent_overloaded");
  assert.equal(load.enter("b"), null);
  assert.equal(load.size, 2);
  assert.equal(load.openStream("a"), null);
  assert.equal(load.openStream("b")?.reason, "stream.too_many");
  load.closeStream("a");
  assert.equal(load.openStream("b"), null);
  load.closeStream("b");
  for (const agent of ["a", "a", "b"]) load.leave(agent, 0);
  assert.equal(load.size, 0);
});

test("an agent may hold a quarter of the bytes of bodies, all of them together the whole, and no more", () => {
  const limits = { exchanges_per_agent_max: 9, streams_per_agent_max: 1, streams_max: 1, bodies_bytes_max: 400 };
  const load = createAgentLoad(limits);
  assert.equal(load.addBody("nobody", 1)?.reason, "body.agent_quota");
  for (const agent of ["a", "b", "c", "d", "e"]) load.enter(agent);
  load.enter("a");
  assert.deepEqual([load.addBody("a", 60), load.addBody("a", 40)], [null, null]);
  assert.equal(load.addBody("a", 1)?.reason, "body.agent_quota");
  for (const agent of ["b", "c", "d"]) assert.equal(load.addBody(agent, 100), null);
  assert.equal(load.addBody("e", 1)?.reason, "body.no_room");
  load.leave("a", 60);
  assert.equal(load.addBody("e", 60), null);
  assert.equal(load.addBody("e", 1)?.reason, "body.no_room");
  load.leave("b", 100);
  assert.equal(load.addBody("a", 60), null);
  assert.equal(load.addBody("a", 1)?.reason, "body.agent_quota");
});
