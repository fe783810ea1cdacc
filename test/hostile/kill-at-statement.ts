// In: environment data that names a moment. Out: the process is killed at that moment of a transaction of the broker's
// database, as by `kill -9`: every thread that loads this with `--import` counts. For tests only.
import { DatabaseSync, StatementSync } from "node:sqlite";
import workerThreads, { getEnvironmentData, isMainThread, setEnvironmentData, Worker } from "node:worker_threads";
import { syncBuiltinESMExports } from "node:module";

const MOMENT = "moment of the kill";
if (isMainThread) setEnvironmentData(MOMENT, process.env["CORDON_TEST_KILL_AT"] ?? "");
const moment = getEnvironmentData(MOMENT) as string;

let spent = false;
const die = (): void => process.kill(process.pid, "SIGKILL") as unknown as undefined;
const { run } = StatementSync.prototype;
StatementSync.prototype.run = function (this: StatementSync, ...values: Parameters<typeof run>) {
  if (spent && moment === "before the agent is kept" && this.sourceSQL.startsWith("INSERT INTO agent")) die();
  const changes = run.apply(this, values);
  if (this.sourceSQL.startsWith("UPDATE launch SET spent_ms")) spent = true;
  if (spent && moment === "after the launch token is spent") die();
  return changes;
} as typeof run;
const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
  if (spent && sql === "COMMIT" && moment === "before the commit") die();
  exec.call(this, sql);
  if (spent && sql === "COMMIT" && moment === "after the commit") die();
};

if (isMainThread) {
  // The issuer's thread has an environment of its own and inherits no `--import`.
  workerThreads.Worker = class extends Worker {
    constructor(...[url, options]: ConstructorParameters<typeof Worker>) {
      super(url, { ...options, execArgv: ["--import", import.meta.url] });
    }
  };
  syncBuiltinESMExports();
}
