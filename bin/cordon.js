#!/usr/bin/env node
// In: the arguments of the installed `cordon` command. Out: the command line, or one clear line where Node is too old for it.
// Plain JavaScript without imports at the top, so that an old Node can still read it and say what to do.
const OLDEST_MAJOR = 24;

const [major] = process.versions.node.split(".");
if (Number(major) < OLDEST_MAJOR) {
  process.stderr.write(`cordon: this is Node ${process.versions.node}; Cordon needs Node ${OLDEST_MAJOR} or newer\n`);
  process.exitCode = 2;
} else {
  await import("../dist/src/cli/main.js");
}
