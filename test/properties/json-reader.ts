// In: text. Out: its JSON tree with every member and every number as written, or undefined where it is not JSON.
// Written from RFC 8259 alone and nothing of the gateway: what the strict parsers and the redaction are held against.

export type JsonNode =
  | { readonly kind: "object"; readonly members: readonly (readonly [string, JsonNode])[] }
  | { readonly kind: "array"; readonly items: readonly JsonNode[] }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "literal"; readonly value: boolean | null };

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERALS = new Map<string, boolean | null>([
  ["true", true],
  ["false", false],
  ["null", null],
]);
const ESCAPES = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

class NotJson extends Error {}

export function readJson(text: string): JsonNode | undefined {
  const reader = new Reader(text);
  try {
    const node = reader.value();
    reader.skipSpace();
    return reader.atEnd() ? node : undefined;
  } catch (error) {
    if (error instanceof NotJson) return undefined;
    throw error;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  skipSpace(): void {
    this.#match(SPACE);
  }

  value(): JsonNode {
    this.skipSpace();
    const first = this.#text[this.#at];
    if (first === "{") return this.#object();
    if (first === "[") return this.#array();
    if (first === '"') return { kind: "string", value: this.#string() };
    for (const [word, value] of LITERALS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return { kind: "literal", value };
    }
    const number = this.#match(NUMBER);
    if (number === "") throw new NotJson();
    return { kind: "number", text: number };
  }

  #object(): JsonNode {
    const members: [string, JsonNode][] = [];
    this.#list("{", "}", () => {
      this.skipSpace();
      const name = this.#string();
      this.skipSpace();
      this.#expect(":");
      members.push([name, this.value()]);
    });
    return { kind: "object", members };
  }

  #array(): JsonNode {
    const items: JsonNode[] = [];
    this.#list("[", "]", () => items.push(this.value()));
    return { kind: "array", items };
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open);
    this.skipSpace();
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      this.skipSpace();
      if (this.#text[this.#at] === close) break;
      this.#expect(",");
    }
    this.#at++;
  }

  #string(): string {
    this.#expect('"');
    let value = "";
    for (;;) {
      const char = this.#text[this.#at++];
      if (char === undefined || char < " ") throw new NotJson();
      if (char === '"') return value;
      value += char === "\\" ? this.#escape() : char;
    }
  }

  #escape(): string {
    const char = this.#text[this.#at++] ?? "";
    if (char !== "u") {
      const plain = ESCAPES.get(char);
      if (plain === undefined) throw new NotJson();
      return plain;
    }
    const digits = this.#text.slice(this.#at, this.#at + 4);
    if (!/^[0-9A-Fa-f]{4}$/.test(digits)) throw new NotJson();
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #expect(char: string): void {
    if (this.#text[this.#at] !== char) throw new NotJson();
    this.#at++;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}

/** The value as JavaScript has it: the last of two members of one name counts, as in ECMA-262. */
export function valueOf(node: JsonNode): unknown {
  switch (node.kind) {
    case "object":
      return Object.fromEntries(node.members.map(([name, member]) => [name, valueOf(member)]));
    case "array":
      return node.items.map(valueOf);
    case "number":
      return Number(node.text);
    case "string":
    case "literal":
      return node.value;
  }
}

/** Every node of the tree with its depth: a container at the top has depth 1, what is in it has 2. */
export function* nodesOf(node: JsonNode, depth = 1): Generator<{ node: JsonNode; depth: number }> {
  yield { node, depth };
  const inner = node.kind === "object" ? node.members.map(([, member]) => member) : [];
  for (const one of node.kind === "array" ? node.items : inner) yield* nodesOf(one, depth + 1);
}

/** Levels of containers. */
export function depthOf(tree: JsonNode): number {
  let most = 0;
  for (const { node, depth } of nodesOf(tree)) {
    if (node.kind === "object" || node.kind === "array") most = Math.max(most, depth);
  }
  return most;
}

/** Whether a double carries this number unchanged and JavaScript prints it back as the same decimal. */
export function isExactNumber(text: string): boolean {
  const value = Number(text);
  if (!Number.isFinite(value) || Object.is(value, -0)) return false;
  const [written, printed] = [decimalOf(text), decimalOf(String(value))];
  return written.digits === printed.digits && written.exponent === printed.exponent;
}

/** A decimal as whole digits (without zeros at their end) and a power of ten. */
function decimalOf(text: string): { digits: bigint; exponent: bigint } {
  const [mantissa = "", power = "0"] = text.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  let digits = BigInt(whole + fraction);
  let exponent = BigInt(power) - BigInt(fraction.length);
  if (digits === 0n) return { digits, exponent: 0n };
  while (digits % 10n === 0n) {
    digits /= 10n;
    exponent++;
  }
  return { digits, exponent };
}
