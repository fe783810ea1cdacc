// In: the moments at which a line could be told. Out: whether it is told, and how many were left out before it.
// What callers can cause must not fill a log at their speed: beyond the budget only the number stays.

export interface LineBudget {
  /** Null: this line is left out. Else it is told, with the number of lines left out since the last one. */
  take(monotonicMs: number): number | null;
}

/** At most `linesMax` in each interval. */
export function createLineBudget(linesMax: number, intervalMs: number): LineBudget {
  let sinceMs = Number.NEGATIVE_INFINITY;
  let told = 0;
  let leftOut = 0;
  return {
    take(monotonicMs) {
      if (monotonicMs - sinceMs >= intervalMs) {
        sinceMs = monotonicMs;
        told = 0;
      }
      if (told >= linesMax) {
        leftOut += 1;
        return null;
      }
      told += 1;
      const before = leftOut;
      leftOut = 0;
      return before;
    },
  };
}
