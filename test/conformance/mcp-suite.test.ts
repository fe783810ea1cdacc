// The public MCP conformance suite against a server written here, directly and through the gateway: the gateway adds no
// failure. The suite knows nothing of Cordon; the sidecar adds its token and proofs. Issuer, gateway and policies are real.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { MCP_VERSIONS, type McpVersion } from "../../src/action/mcp/methods.ts";
import { startAgent } from "../../src/agent/create-agent.ts";
import { createSidecar, type Sidecar } from "../../src/agent/create-sidecar.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { startAgentGateway } from "../fixtures/agent-gateway.ts";
import { offeredNames } from "../fixtures/mcp-conformance-offer.ts";
import { type ConformanceServer, startConformanceServer } from "../fixtures/mcp-conformance-server.ts";
import { mcpRoute } from "../fixtures/mcp-route.ts";
import { failuresOf, passedOf, runMcpSuite, scenarioOf, scenariosOf, type SuiteRun } from "../fixtures/mcp-suite.ts";

const root = packageRoot(import.meta.url);
const page = readFileSync(join(root, "docs", "mcp.md"), "utf8");
/** A run takes three to six seconds on an idle machine, and there are four. */
const LIMIT = { timeout: 100_000 };
/** Its probes wait half a second by the clock for an answer; where a machine is too busy for that, it is asked again. */
const TIMED_SCENARIO = "server-stateless";
const RUNS_MAX = 3;

/** What is worse through the gateway, and meant so. An entry that is no longer true fails the test. */
const DELIBERATE: readonly { readonly version: McpVersion; readonly check: string; readonly reason: string }[] = [
  {
    version: "2026-07-28",
    check: "sep-2164-resource-not-found: sep-2164-error-code (ResourcesNotFoundErrorCode)",
    reason: "a resource that policy does not name is refused, and the server is not asked whether it exists (a SHOULD)",
  },
  {
    version: "2026-07-28",
    check: "sep-2164-resource-not-found: sep-2164-data-uri (ResourcesNotFoundDataUri)",
    reason: "the same refusal; it repeats nothing of the request but its id (a SHOULD)",
  },
];

async function runSuite(url: string, version: McpVersion): Promise<SuiteRun> {
  for (let runs = 1; ; runs++) {
    const run = await runOnce(url, version);
    if (runs === RUNS_MAX || !failuresOf(run).some((check) => scenarioOf(check) === TIMED_SCENARIO)) return run;
  }
}

function runOnce(url: string, version: McpVersion): Promise<SuiteRun> {
  const loopback = new URL("../../examples/demo/loopback-only.ts", import.meta.url).href;
  return runMcpSuite("server", ["--url", url, "--requirements", version], ["--import", loopback]);
}

/** The committed data, in which this server stands for `everything`: an agent may use all that it offers. */
function dataFor(offered: ReturnType<typeof offeredNames>): object {
  const data = JSON.parse(readFileSync(join(root, "policies", "data.json"), "utf8")) as object;
  const everything = Object.fromEntries(
    Object.entries(offered).map(([list, names]) => [
      list,
      Object.fromEntries(names.map((name) => [name, { purposes: ["*"] }])),
    ]),
  );
  return { ...data, mcp: { everything } };
}

describe("the public MCP conformance suite", LIMIT, () => {
  const ending: (() => Promise<void>)[] = [];
  let direct: ConformanceServer;
  let sidecar: Sidecar;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), "cordon-mcp-policy-"));
    ending.push(async () => rmSync(folder, { recursive: true, force: true }));
    const policyData = join(folder, "data.json");
    // Two servers, so that what one run changes does not tell the listeners of the other.
    direct = await startConformanceServer();
    const behind = await startConformanceServer();
    ending.push(direct.close, behind.close);
    writeFileSync(policyData, JSON.stringify(dataFor(offeredNames())));
    const stage = await startAgentGateway(
      { after: (end) => void ending.push(end) },
      {
        proof: { nonce: "required" },
        routes: [mcpRoute("mcp", behind.url)],
        policy: { data: policyData, watch: false },
      },
    );
    const started = await startAgent({
      issuer: stage.issuer,
      launchToken: await stage.launch({ scope: ["call:mcp:everything"] }),
    });
    sidecar = await createSidecar(started, stage.g.url);
    ending.push(sidecar.close, started.agent.close);
  });
  after(async () => {
    for (const end of ending.reverse()) await end();
  });

  for (const version of MCP_VERSIONS) {
    test(`${version}: the gateway adds no failure to those of the server itself`, async () => {
      const plain = await runSuite(direct.url, version);
      const guarded = await runSuite(`${sidecar.baseUrl}/mcp`, version);
      const wanted = scenariosOf(version, "server", false);
      const ran = new Set([...plain.checks.keys()].map(scenarioOf));
      assert.deepEqual(
        wanted.filter((scenario) => !ran.has(scenario)),
        [],
        plain.said,
      );
      // Of extensions the server has none.
      assert.deepEqual(
        failuresOf(plain).filter((check) => wanted.includes(scenarioOf(check))),
        [],
        plain.said,
      );

      const added = [...plain.checks].flatMap(([check, verdict]) =>
        verdict === "passed" && guarded.checks.get(check) !== "passed" ? [check] : [],
      );
      const meant = DELIBERATE.filter((difference) => difference.version === version).map(({ check }) => check);
      assert.deepEqual(added.sort(), meant.sort(), guarded.said);
      // Nor one that the suite did not even make without it.
      assert.deepEqual(
        failuresOf(guarded).filter((check) => !plain.checks.has(check)),
        [],
        guarded.said,
      );
      const row = [version, wanted.length, ...[plain, guarded].map((run) => passedOf(run, wanted).join(" of "))];
      assert.ok(page.includes(`| ${row.join(" | ")} |`), `docs/mcp.md has no row ${row.join(" | ")}`);
    });
  }
});
