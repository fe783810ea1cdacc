// In: the operators' API's answers about the tools of MCP servers. Out: the same for people.
// Names and definitions are servers' own texts: what could steer a terminal is shown as its code (CWE-150).
import type { ToolServer, ToolShown } from "../admin/control-plane.ts";
import { printable, textTable } from "./text-table.ts";

/** Characters of one line of a definition; a description may be long, and its end is what changed. */
const LINE_CHARACTERS_MAX = 4000;
/** Of a digest, in a table. */
const DIGEST_CHARACTERS = 12;

export function serversText({ servers }: { readonly servers: readonly ToolServer[] }): string {
  if (servers.length === 0) return "No route pins tools.";
  const rows = servers.flatMap(({ route, tools, complete }) => [
    ...tools.map(({ name, state, pinned, seen, by, at }) => [
      route,
      name,
      state,
      (pinned === "" ? seen : pinned).slice(0, DIGEST_CHARACTERS),
      by,
      at,
    ]),
    ...(complete ? [] : [[route, "(its whole list was not seen yet)", "", "", "", ""]]),
  ]);
  return textTable(["ROUTE", "TOOL", "STATE", "SHA-256", "BY", "AT"], rows);
}

/** `only`: the tool that was asked for. */
export function waitingText(route: string, only: string | undefined, tools: readonly ToolShown[]): string {
  const shown = tools.filter(({ name }) => only === undefined || name === only);
  if (shown.length === 0) return `Nothing of ${printable(route)} waits to be accepted.`;
  return shown.map((tool) => toolText(tool).map(safeLine).join("\n")).join("\n\n");
}

export function acceptedText({ accepted }: { readonly accepted: readonly string[] }): string {
  return `In force from now on: ${printable(accepted.join(", "))}.`;
}

function toolText({ name, state, seen, pinned_definition: before, seen_definition: after }: ToolShown): string[] {
  const head = `${name}: ${state}${seen === "" ? "" : `, sha256 ${seen}`}`;
  if (after === "") return [head];
  const old = before === "" ? {} : (JSON.parse(before) as Record<string, unknown>);
  const now = JSON.parse(after) as Record<string, unknown>;
  const members = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  const changed = members.filter((member) => JSON.stringify(old[member]) !== JSON.stringify(now[member]));
  return [
    head,
    ...changed.flatMap((member) => [
      `  ${member}`,
      ...difference(linesOf(old, member), linesOf(now, member)).map((line) => `  ${line}`),
    ]),
  ];
}

/** JSON text: line breaks inside of texts stand as their escapes. */
function linesOf(definition: Readonly<Record<string, unknown>>, member: string): string[] {
  return member in definition ? JSON.stringify(definition[member], null, 2).split("\n") : [];
}

/** What both begin and end with is context; what lies between is old and new. */
function difference(old: readonly string[], now: readonly string[]): string[] {
  let start = 0;
  while (start < Math.min(old.length, now.length) && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  return [
    ...old.slice(0, start).map((line) => `  ${line}`),
    ...old.slice(start, old.length - end).map((line) => `- ${line}`),
    ...now.slice(start, now.length - end).map((line) => `+ ${line}`),
    ...old.slice(old.length - end).map((line) => `  ${line}`),
  ];
}

/** Zero-width and other invisible characters too: a description may hide words for a model behind them. */
function safeLine(line: string): string {
  const cut = line.length > LINE_CHARACTERS_MAX ? `${line.slice(0, LINE_CHARACTERS_MAX)}... (cut; see --json)` : line;
  // One for each code unit, as `printable` writes them.
  return printable(cut).replaceAll(/[\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu, (character) => {
    const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}
