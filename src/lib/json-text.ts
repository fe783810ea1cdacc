// In: text. Out: the same text as a JSON string, or as the members of a JSON object.

/** Text that JSON.stringify would only put quotes around; ids, names and paths nearly always are. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** What JSON.stringify gives for a string, without its call where nothing is to be escaped. */
export function jsonText(value: string): string {
  return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
}

/** The same for at most so many characters of it. */
export function cutJsonText(value: string, charactersMax: number): string {
  return jsonText(value.length > charactersMax ? `${value.slice(0, charactersMax)}...` : value);
}

/** An object of texts; also of one without a prototype, which JSON.stringify takes its slowest way for. */
export function jsonRecord(
  record: Readonly<Record<string, string>>,
  text: (value: string) => string = jsonText,
): string {
  let members = "";
  for (const name of Object.keys(record)) {
    members += `${members === "" ? "" : ","}${text(name)}:${text(record[name] ?? "")}`;
  }
  return `{${members}}`;
}
