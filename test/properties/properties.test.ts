// Every property for a bounded number of runs, always from the same seed. `npm run fuzz` runs them for longer.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ALL_PROPERTIES } from "./all-properties.ts";
import { namesWithCases, readCases } from "./kept-cases.ts";
import { ACCEPTED } from "./property.ts";

const SEED = 1;
/** A property that hardly ever sees an accepted input says nothing. */
const ACCEPTED_SHARE_MIN = 0.02;

for (const property of ALL_PROPERTIES) {
  const { name, says, inputs, check, runs } = property;
  test(`${name}: ${says}`, async () => {
    for (const { why, input } of readCases(name)) {
      await assert.doesNotReject(
        async () => check(input),
        `a kept case is broken again (${why}): ${JSON.stringify(input)}`,
      );
    }
    let accepted = 0;
    const checkAndCount = async (input: unknown): Promise<void> => {
      if ((await check(input)) === ACCEPTED) accepted++;
    };
    await fc.assert(fc.asyncProperty(inputs, checkAndCount), { seed: SEED, numRuns: runs });
    assert.ok(accepted >= runs * ACCEPTED_SHARE_MIN, `only ${accepted} of ${runs} inputs were accepted`);
  });
}

test("every kept case belongs to a property", () => {
  const names = new Set(ALL_PROPERTIES.map(({ name }) => name));
  assert.deepEqual(
    namesWithCases().filter((name) => !names.has(name)),
    [],
  );
});
