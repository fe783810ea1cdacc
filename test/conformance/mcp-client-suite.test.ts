// The public MCP conformance suite's scenarios for clients, with the public SDK over the agent library's `fetch`: those in which
// the library does something. The suite plays server and authorization server; it knows nothing of Cordon.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { MCP_VERSIONS, type McpVersion } from "../../src/action/mcp/methods.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { failuresOf, passedOf, runMcpSuite, scenariosOf, type SuiteRun } from "../fixtures/mcp-suite.ts";

const root = packageRoot(import.meta.url);
const page = readFileSync(join(root, "docs", "mcp.md"), "utf8");
/** Three seconds each on an idle machine. */
const LIMIT = { timeout: 110_000 };

const SCENARIOS: Readonly<Record<McpVersion, readonly string[]>> = {
  "2025-11-25": ["initialize", "tools_call", "sse-retry", "auth/dpop", "auth/dpop-nonce"],
  "2026-07-28": ["auth/dpop", "auth/dpop-nonce"],
};
/** It measures when a stream is asked for again; where a machine is too busy for that, it is asked again. */
const TIMED_SCENARIO = "sse-retry";
const RUNS_MAX = 3;

/** The suite hands its command to a shell. */
const command = [process.execPath, join(root, "test", "conformance", "mcp-client.ts")]
  .map((part) => `"${part}"`)
  .join(" ");

async function runScenario(scenario: string, version: McpVersion): Promise<SuiteRun> {
  for (let runs = 1; ; runs++) {
    // Extensions are on no version's list, and run in each all the same.
    const options = ["--scenario", scenario, "--spec-version", version, "--force", "--command", command];
    const run = await runMcpSuite("client", options);
    if (runs === RUNS_MAX || scenario !== TIMED_SCENARIO || failuresOf(run).length === 0) return run;
  }
}

describe("the MCP conformance suite's scenarios for clients, over the library's fetch", LIMIT, () => {
  for (const version of MCP_VERSIONS) {
    for (const scenario of SCENARIOS[version]) {
      test(`${version}: ${scenario} passes, as the docs say`, async () => {
        const run = await runScenario(scenario, version);
        assert.deepEqual(failuresOf(run), [], run.said);
        assert.match(run.said, /OVERALL: .*PASSED/, "the client ended well");
        const row = `| \`${scenario}\` | ${version} | ${passedOf(run, [scenario]).join(" of ")} |`;
        assert.ok(page.includes(row), `docs/mcp.md has no row ${row}`);
      });
    }

    test(`${version}: every other scenario for clients has its reason in the docs`, () => {
      const others = scenariosOf(version, "client", true).filter((scenario) => !SCENARIOS[version].includes(scenario));
      assert.ok(others.length > 0);
      const unnamed = others.filter((scenario) => !scenario.startsWith("auth/") && !page.includes(`\`${scenario}\``));
      assert.deepEqual(unnamed, []);
      assert.ok(page.includes("every other `auth/*`"));
    });
  }
});
