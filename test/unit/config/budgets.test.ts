// The budgets of a configuration: the page about them shows one that is taken as it stands.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../../src/config/load-config.ts";
import { packageRoot } from "../../../src/lib/package-root.ts";
import { BEFORE_ROUTES } from "../../fixtures/sound-config.ts";

const BASE = `${BEFORE_ROUTES}routes:
  - name: payments
    kind: mcp
    path: /payments
    methods: [POST]
    resource: { type: mcp_tools, classification: restricted }
    upstream: { url: "https://payments.example" }
`;

test("the example of docs/budgets.md is a configuration, and counts what the page says", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "cordon-budgets-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const page = readFileSync(join(packageRoot(import.meta.url), "docs", "budgets.md"), "utf8");
  const file = join(folder, "cordon.yaml");
  writeFileSync(file, BASE + (/```yaml\n(.*?)```/s.exec(page)?.[1] ?? ""));
  const loaded = loadConfig(file, {});
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const [refunds, pace] = loaded.value.config.budgets;
  assert.deepEqual(refunds?.sum, { argument: "/amount", max: 200_000, required: true });
  assert.deepEqual([pace?.per, pace?.calls_per_minute, pace?.keep_s], [["agent", "tool"], 60, 86_400]);
});
