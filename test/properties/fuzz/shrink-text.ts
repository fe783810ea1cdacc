// In: a text that breaks a property. Out: a shorter one that breaks it too, found by leaving parts out.

/** Bounds the time that goes into one finding. */
const TRIES_MAX = 2000;

export async function shrinkText(
  text: string,
  breaks: (text: string) => Promise<boolean>,
  triesMax: number = TRIES_MAX,
): Promise<string> {
  let shortest = text;
  let tries = 0;
  for (let size = Math.ceil(text.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < shortest.length && tries < triesMax; ) {
      const shorter = shortest.slice(0, at) + shortest.slice(at + size);
      tries++;
      if (await breaks(shorter)) shortest = shorter;
      else at += size;
    }
  }
  return shortest;
}
