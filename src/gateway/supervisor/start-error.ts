// In: what went wrong at the start. Out: the error of a start that the operator can mend: one line, the exit code 2.

export class StartError extends Error {}

/** For `catch`: a part that cannot start ends the start. */
export function asStartError(error: unknown): never {
  throw new StartError(error instanceof Error ? error.message : String(error));
}
