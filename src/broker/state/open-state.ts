// In: the data folder. Out: everything that the broker remembers, on one database with one group commit.
// Closed when the last change is on disk.
import type { DatabaseSync } from "node:sqlite";
import { type AffectedAgents, createAffectedAgents } from "./affected-agents.ts";
import { type Agents, createAgents } from "./agents.ts";
import { type Applications, createApplications } from "./applications.ts";
import { openBrokerDatabase } from "./broker-database.ts";
import { createGroupCommit, type GroupCommit } from "./group-commit.ts";
import { createKeyRecords, type KeyRecords } from "./key-records.ts";
import { createLaunches, type Launches } from "./launches.ts";
import { createRevocations, type Revocations } from "./revocations.ts";

export interface BrokerState {
  readonly db: DatabaseSync;
  readonly commit: GroupCommit;
  readonly applications: Applications;
  readonly launches: Launches;
  readonly agents: Agents;
  readonly affected: AffectedAgents;
  readonly revocations: Revocations;
  readonly keys: KeyRecords;
  close(): Promise<void>;
}

/** Throws when the database cannot be used. */
export function openState(dataFolder: string, nowMs: () => number): BrokerState {
  const db = openBrokerDatabase(dataFolder);
  const commit = createGroupCommit(db);
  return {
    db,
    commit,
    applications: createApplications(db, nowMs),
    launches: createLaunches(db),
    agents: createAgents(db),
    affected: createAffectedAgents(db),
    revocations: createRevocations(db),
    keys: createKeyRecords(db),
    async close() {
      await commit.settled();
      db.close();
    },
  };
}
