// In: the two arguments of Rego's `sprintf`, as Rego text. Out: the formatted text as a JSON string.
// Trusts: nothing. Go's verbs as far as they are imitated exactly; any other use throws, and a throw is a deny.

type Value =
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "int"; readonly value: bigint }
  | { readonly kind: "text"; readonly text: string };

class UnsupportedFormat extends Error {}

/** Splits the top level of `[a, b, ...]`; strings and nested brackets are skipped as a whole. */
function elementsOf(rego: string): string[] {
  const elements: string[] = [];
  let depth = 0;
  let start = 1;
  let inString = false;
  for (let index = 0; index < rego.length; index += 1) {
    const char = rego[index];
    if (inString) {
      if (char === "\\") index += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "[" || char === "{" || char === "(") depth += 1;
    else if (char === "]" || char === "}" || char === ")") depth -= 1;
    else if (char === "," && depth === 1) {
      elements.push(rego.slice(start, index).trim());
      start = index + 1;
    }
  }
  const last = rego.slice(start, -1).trim();
  return last === "" ? elements : [...elements, last];
}

function parseValue(text: string): Value {
  if (text.startsWith('"')) return { kind: "string", text: JSON.parse(text) as string };
  if (/^-?\d+$/.test(text)) return { kind: "int", value: BigInt(text) };
  if (text === "true" || text === "false" || text === "null") return { kind: "text", text };
  throw new UnsupportedFormat("sprintf is provided for strings, integers, booleans and null");
}

function quote(text: string): string {
  // Go's %q escapes by its own tables; printable ASCII is where both agree.
  if (!/^[\x20-\x7e]*$/.test(text)) throw new UnsupportedFormat("sprintf %q is provided for printable ASCII");
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function hex(text: string, upper: boolean): string {
  const digits = Buffer.from(text).toString("hex");
  return upper ? digits.toUpperCase() : digits;
}

function integer(value: bigint, verb: string, flags: string): string {
  const digits = verb === "d" || verb === "v" ? value.toString() : value.toString(16);
  const signed = flags.includes("+") && value >= 0n ? `+${digits}` : digits;
  return verb === "X" ? signed.toUpperCase() : signed;
}

function render(value: Value, verb: string, flags: string): string {
  if (value.kind === "int" && "dvxX".includes(verb)) return integer(value.value, verb, flags);
  if (value.kind !== "int") {
    if (verb === "s" || verb === "v") return value.text;
    if (verb === "q") return quote(value.text);
    if (verb === "x" || verb === "X") return hex(value.text, verb === "X");
  }
  throw new UnsupportedFormat(`sprintf %${verb} is not provided for this value`);
}

function pad(text: string, flags: string, width: number, numeric: boolean): string {
  const missing = width - Array.from(text).length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (!flags.includes("0")) return " ".repeat(missing) + text;
  if (!numeric) throw new UnsupportedFormat("sprintf pads with zeros for integers only");
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

const VERB = /%(%|([-+0]*)(\d{0,3})([a-zA-Z]))|%/g;

/** `format` is a Rego string, `values` a Rego array. */
export function formatRego(format: string, values: string): string | undefined {
  if (!format.startsWith('"') || !values.startsWith("[")) return undefined;
  const elements = elementsOf(values).map(parseValue);
  let used = 0;
  const text = (JSON.parse(format) as string).replace(
    VERB,
    (
      whole: string,
      spec: string | undefined,
      flags: string | undefined,
      width: string | undefined,
      verb: string | undefined,
    ) => {
      if (spec === "%") return "%";
      const value = elements[used];
      if (spec === undefined || verb === undefined || value === undefined) {
        throw new UnsupportedFormat(`sprintf: ${JSON.stringify(whole)} has no value or is not provided`);
      }
      used += 1;
      return pad(render(value, verb, flags ?? ""), flags ?? "", Number(width || 0), value.kind === "int");
    },
  );
  if (used !== elements.length) throw new UnsupportedFormat("sprintf has more values than verbs");
  return JSON.stringify(text);
}
