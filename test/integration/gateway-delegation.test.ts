// Delegated agents over real sockets: a whole chain fits into a request, and what it does not prove is refused.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { delegatedAgents } from "../fixtures/delegated-agent.ts";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

describe("delegation", () => {
  let g: TestGateway;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      threads: 2,
      routes: [
        {
          name: "candidate",
          path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
          methods: ["GET"],
          mode: "observe",
          resource: { type: "candidate_profiles", classification: "interview_safe" },
          upstream: { url: toolUrl, strip_prefix: "/ats", allow_private_addresses: true },
        },
      ],
    }));
  });
  after(() => g.close());

  test("a token of five hops fits into the header limits, and each agent of the chain is let through", async () => {
    const { agents } = await delegatedAgents(g, 5);
    assert.ok((agents[5]?.token.length ?? 0) > 10_000, String(agents[5]?.token.length));
    for (const agent of agents) assert.equal((await agent.call(g.url + PATH)).status, 200, agent.id);
  });

  test("a delegate without its records, or with records that were cut, is refused as one with an invalid token", async () => {
    const forged = await delegatedAgents(g, 2, {}, ({ cordon }) => ({ cordon: { ...cordon, delegation: undefined } }));
    const cut = await delegatedAgents(g, 3, {}, ({ cordon }) => ({
      cordon: { ...cordon, delegation: { ...cordon.delegation, records: cordon.delegation.records.slice(1) } },
    }));
    for (const agent of [forged.agents[2], cut.agents[3]]) {
      const answer = await agent?.call(g.url + PATH);
      assert.equal(answer?.status, 401);
      assert.equal(answer.json<{ code: string }>().code, "invalid_token");
      assert.match(answer.headers["www-authenticate"] ?? "", /^DPoP error="invalid_token"/);
      assert.doesNotMatch(answer.text, /record_|at hop|disagrees/);
    }
    const lines = await g.lines("access", ({ detail }) => String(detail).startsWith("record_order at hop 1"));
    assert.ok(
      lines.some(({ reason, detail }) => reason === "token.delegation" && String(detail).startsWith("token_disagrees")),
    );
  });
});
