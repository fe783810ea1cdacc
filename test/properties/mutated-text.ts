// In: texts to start from and words that matter to a parser. Out: an arbitrary of texts a few changes away from them.
// Characters are bytes (U+0000 to U+00FF). A corpus that grows during a run is seen at once.
import fc from "fast-check";

type Step =
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "bit"; readonly at: number; readonly bit: number }
  | { readonly kind: "word"; readonly at: number; readonly word: string }
  | { readonly kind: "delete"; readonly at: number; readonly length: number }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number; readonly times: number }
  | { readonly kind: "case"; readonly at: number; readonly length: number }
  | { readonly kind: "splice"; readonly at: number; readonly other: number; readonly from: number };

/** More changes than this leave little of what made the first text interesting. */
const STEPS_MAX = 8;
/** Bounds what repetition can blow a text up to. */
const CHARS_MAX = 65_536;

/** Uniform: small positions must not be likelier than others. */
const anywhere = fc.noBias(fc.nat());

function stepOf(words: readonly string[]): fc.Arbitrary<Step> {
  const length = fc.integer({ min: 1, max: 16 });
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("word" as const), at: anywhere, word: fc.constantFrom(...words) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("byte" as const), at: anywhere, value: fc.nat(255) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("bit" as const), at: anywhere, bit: fc.nat(7) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), at: anywhere, length }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("repeat" as const),
        at: anywhere,
        length,
        times: fc.integer({ min: 1, max: 40 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("case" as const), at: anywhere, length }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("splice" as const), at: anywhere, other: anywhere, from: anywhere }),
    },
  );
}

export function mutatedText(
  corpus: readonly string[],
  words: readonly string[],
  stepsMax: number = STEPS_MAX,
): fc.Arbitrary<string> {
  return fc
    .tuple(anywhere, fc.array(stepOf(words), { maxLength: stepsMax }))
    .map(([base, steps]) =>
      steps.reduce((text, step) => apply(text, step, corpus), corpus[base % corpus.length] ?? "").slice(0, CHARS_MAX),
    );
}

function apply(text: string, step: Step, corpus: readonly string[]): string {
  const at = step.at % (text.length + 1);
  const before = text.slice(0, at);
  switch (step.kind) {
    case "byte":
      return before + String.fromCharCode(step.value) + text.slice(at + 1);
    case "bit":
      return before + String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << step.bit)) + text.slice(at + 1);
    case "word":
      return before + step.word + text.slice(at);
    case "delete":
      return before + text.slice(at + step.length);
    case "repeat":
      return before + text.slice(at, at + step.length).repeat(step.times) + text.slice(at);
    case "case":
      return before + swapCase(text.slice(at, at + step.length)) + text.slice(at + step.length);
    case "splice": {
      const other = corpus[step.other % corpus.length] ?? "";
      return before + other.slice(step.from % (other.length + 1));
    }
  }
}

function swapCase(text: string): string {
  return text.replace(/[A-Za-z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) ^ 0x20));
}
