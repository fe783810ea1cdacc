// The operators' API over a real socket and a real control database, in a folder of its own.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ChangeRecord } from "../../../src/admin/admin-context.ts";
import { openControlDatabase } from "../../../src/admin/control-database.ts";
import { createOperators, type Role } from "../../../src/admin/operators.ts";
import { createAdminServer } from "../../../src/admin/server.ts";
import { createRecordingControlPlane } from "./recording-control-plane.ts";

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cordon-admin-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

/** `node:http` and not fetch: the tests set Host, Origin and targets as a hostile page or tool would. */
export function send(
  url: string,
  options: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const { method = "GET", path, body } = options;
    // Node frames the body of a DELETE only when it is told its length.
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const headers = { ...options.headers, ...length };
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(parts).toString();
        const json = String(response.headers["content-type"]).includes("json");
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: json ? JSON.parse(text) : {},
          text,
        });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

export async function startAdmin(t: TestContext, allowedHosts: readonly string[] = []) {
  const folder = temporaryFolder(t);
  const db = openControlDatabase(join(folder, "control.sqlite"));
  const keyFile = join(folder, "operator.key");
  const operators = createOperators(db, keyFile, 0);
  const control = createRecordingControlPlane();
  const logged: ChangeRecord[] = [];
  const failures: { id: string; error: unknown }[] = [];
  const server = await createAdminServer({
    address: "127.0.0.1",
    port: 0,
    allowedHosts,
    control,
    operators,
    logChange: (change) => logged.push(change),
    logFailure: (id, error) => failures.push({ id, error }),
    version: "0.1.0",
    nowMs: () => 1000,
  });
  t.after(async () => {
    await server.close();
    db.close();
  });
  const adminKey = readFileSync(keyFile, "utf8").trim();

  function keyFor(role: Role): string {
    const added = operators.add(`the-${role.replace("_", "-")}`, role, "test", 0);
    if (!added.ok) throw new Error(added.error);
    return added.value.key;
  }
  function call(method: string, path: string, body?: unknown, key = adminKey): Promise<Answer> {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${key}`,
      ...(method === "GET" ? {} : { "content-type": "application/json" }),
    };
    return send(server.url, { method, path, headers, ...(json === undefined ? {} : { body: json }) });
  }
  return { url: server.url, control, operators, logged, failures, adminKey, keyFile, folder, keyFor, call };
}
