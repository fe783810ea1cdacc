// In: a key that is not known and the keys that are. Out: the one that was probably meant.

/** A third of the letters may differ: enough for a slip, too few for another word. */
const DIFFERENT_PART_MAX = 1 / 3;

export function nearestKey(unknown: string, known: readonly string[]): string | undefined {
  const text = unknown.slice(0, 64).toLowerCase().replaceAll("-", "_");
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const key of known) {
    const distance = editDistance(text, key);
    if (distance < bestDistance && distance <= Math.max(1, Math.max(text.length, key.length) * DIFFERENT_PART_MAX)) {
      best = key;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
