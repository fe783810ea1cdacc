// In: nothing; types only. Out: what a property is: inputs, a check against a model of its own, and how it may be guided.
// The short run (properties.test.ts) and the long one (fuzz/main.ts) use the same definitions.
import type * as fc from "fast-check";

/** What `check` returns where the unit took the input, so that the property had something to say about it. */
export const ACCEPTED = "accepted";

/** For byte-level inputs: what a long run may add to, when an input reaches code that none before it reached. */
export interface Guide<T> {
  /** The texts that `inputs` mutates. It grows in a long run only, so that a short run stays reproducible. */
  readonly corpus: string[];
  /** Modules under `src` whose blocks count as new ground. */
  readonly modules: readonly string[];
  /** The mutated text of an input; absent where the input is that text. */
  readonly textOf?: (input: T) => string;
}

export interface Property<T> {
  /** `unit.property`; also the name of its file in `cases`. */
  readonly name: string;
  /** What holds, as a sentence; the title of the test. */
  readonly says: string;
  /** Plain JSON data, so that every input can be kept as a case. Bytes are text of U+0000 to U+00FF. */
  readonly inputs: fc.Arbitrary<T>;
  /** Throws where the property does not hold. Returns `ACCEPTED`, or in a few words why the unit refused the input. */
  readonly check: (input: T) => string | Promise<string>;
  readonly isAsync?: true;
  /** Runs in `npm test`: what takes a fraction of a second. */
  readonly runs: number;
  readonly guide?: Guide<T>;
}

/** A property of whatever input, for those who only run it. */
export type AnyProperty = Property<unknown>;

export function property<T>(definition: Property<T>): AnyProperty {
  return definition as unknown as AnyProperty;
}
