// In: nothing. Out: where opa is, or why the tests that need it are skipped; with CI=true its absence fails them.
import { locateOpa } from "../../src/admin/opa.ts";

const located = await locateOpa();

/** The path of opa; "" where it is absent. */
export const opaPath = located.ok ? located.value : "";
/** The `skip` option of a test that needs opa. */
export const skipWithoutOpa = located.ok || process.env["CI"] === "true" ? false : located.error;
