// In: where a configuration is wrong. Out: the problem in plain words, with the way to mend it.
// The text is for the person who wrote the file; it never quotes a value that may be a secret.

export interface ConfigProblem {
  /** Such as `routes[1].upstream.url`; the file's name where the file as a whole is meant. */
  readonly path: string;
  readonly problem: string;
  readonly mend: string;
}

/** Hands one problem to the list that is being gathered. */
export type Report = (path: string, problem: string, mend: string) => void;

export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const key = /^[\w-]+$/.test(String(part)) ? String(part) : JSON.stringify(String(part));
    return text === "" ? key : `${text}.${key}`;
  }, "");
}
