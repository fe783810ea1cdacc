// In: what changed of the tools of one route. Out: what is pinned after a restart.
// Trusts: the control database. A change that was saved survives a crash: WAL with synchronous=FULL.
import type { DatabaseSync } from "node:sqlite";
import { definitionOf } from "../action/mcp/tool-definition.ts";
import type { ToolRecord, ToolsSnapshot } from "../action/mcp/tool-pins.ts";
import { inTransaction } from "../lib/durable-database.ts";

export interface ToolStore {
  load(route: string): ToolsSnapshot;
  /** On disk when it returns; throws when the disk fails: then nothing changed. `names`: those whose record changed or went. */
  save(route: string, snapshot: ToolsSnapshot, names: ReadonlySet<string>): void;
}

interface Row {
  readonly name: string;
  readonly pinned: string | null;
  readonly seen: string | null;
  readonly vanished: number;
  readonly at_ms: number;
  readonly vanished_ms: number;
  readonly changed_by: string;
}

export function createToolStore(db: DatabaseSync): ToolStore {
  const readServer = db.prepare("SELECT first_ms, complete FROM tool_server WHERE route = ?");
  const putServer = db.prepare("INSERT OR REPLACE INTO tool_server VALUES (?, ?, ?)");
  const readTools = db.prepare("SELECT * FROM tool WHERE route = ? ORDER BY name");
  const putTool = db.prepare("INSERT OR REPLACE INTO tool VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const removeTool = db.prepare("DELETE FROM tool WHERE route = ? AND name = ?");

  return {
    load(route) {
      const server = readServer.get(route);
      return {
        records: (readTools.all(route) as unknown as Row[]).map(toRecord),
        firstMs: Number(server?.["first_ms"] ?? 0),
        complete: server?.["complete"] === 1,
      };
    },

    save(route, { records, firstMs, complete }, names) {
      inTransaction(db, () => {
        putServer.run(route, firstMs, complete ? 1 : 0);
        const present = new Map(records.map((record) => [record.name, record]));
        for (const name of names) {
          const record = present.get(name);
          if (record === undefined) removeTool.run(route, name);
          else {
            const { pinned, seen, vanished, atMs, vanishedMs, by } = record;
            putTool.run(route, name, pinned?.text ?? null, seen?.text ?? null, vanished ? 1 : 0, atMs, vanishedMs, by);
          }
        }
      });
    },
  };
}

function toRecord(row: Row): ToolRecord {
  return {
    name: row.name,
    pinned: row.pinned === null ? null : definitionOf(row.pinned),
    seen: row.seen === null ? null : definitionOf(row.seen),
    vanished: row.vanished === 1,
    atMs: row.at_ms,
    vanishedMs: row.vanished_ms,
    by: row.changed_by,
  };
}
