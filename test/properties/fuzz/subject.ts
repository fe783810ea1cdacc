// In: nothing; types only. Out: what the long run works through, whether it is a function or a whole gateway.

export interface Finding {
  readonly name: string;
  /** The smallest input that was found; it is kept as a case. */
  readonly input: unknown;
  readonly message: string;
  /** The run that begins with this seed comes upon it first. Absent for a kept case. */
  readonly seed?: number;
}

export interface Tally {
  readonly runs: number;
  readonly accepted: number;
  /** Inputs that were kept for this run because they reached code that none before them had reached. */
  readonly kept: number;
  /** Share of the guided modules' source that ran; undefined where nothing guides. */
  readonly reached: number | undefined;
}

export interface Subject {
  readonly name: string;
  readonly says: string;
  /** The kept cases, first of all. */
  replay(): Promise<Finding | undefined>;
  /** Runs for about `ms`, or until something is found. The same seed gives the same inputs. */
  run(ms: number, seed: number): Promise<Finding | undefined>;
  tally(): Tally;
  close(): Promise<void>;
}
