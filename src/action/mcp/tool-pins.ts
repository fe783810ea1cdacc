// In: tools as the lists of one server show them, and what an operator accepts. Out: which of them are as they were pinned,
// and what changed. Pure: the supervisor and every data thread apply the same rules to their copies.
// Trusts: nothing of a server; the number of tools and their size are bounded.
import { canPinUnseen, type ToolDefinition } from "./tool-definition.ts";

export interface ToolRecord {
  readonly name: string;
  /** What is in force; null for a tool that nobody has accepted yet. */
  readonly pinned: ToolDefinition | null;
  /** The definition that was last seen, while it waits to be accepted. */
  readonly seen: ToolDefinition | null;
  /** Missing in the last whole list. */
  readonly vanished: boolean;
  /** Of the last change. */
  readonly atMs: number;
  /** Of the last time that it vanished; 0: never. */
  readonly vanishedMs: number;
  /** `first_use`, or the operator who accepted it. */
  readonly by: string;
}

/** What the supervisor keeps and threads are given, of one route. */
export interface ToolsSnapshot {
  readonly records: readonly ToolRecord[];
  /** When the first list was seen; 0: none yet. */
  readonly firstMs: number;
  /** A whole list was seen: from then on another tool is a new one. */
  readonly complete: boolean;
}

export type ToolState = "pinned" | "new" | "changed" | "vanished";
export type ToolNews = "pinned" | "new" | "changed" | "vanished" | "returned" | "refused";

export interface ToolChange {
  readonly name: string;
  readonly news: ToolNews;
}

export type PinMode = "first_use" | "accepted_only";

/** Tools of one server. */
export const TOOLS_MAX = 1000;
/** Characters of all definitions of one server together: each thread holds them. */
export const TOOLS_CHARACTERS_MAX = 8 * 1024 * 1024;
/** The first list has to be whole after this time, so that a server cannot stay in its first use by cursors without end. */
export const FIRST_USE_MS = 600_000;
/** A server that changes with each list, or shows each agent another one, costs a write no more often than this. */
const AGAIN_MS = 1000;
const VANISH_AGAIN_MS = 60_000;

export class ToolPins {
  readonly #mode: PinMode;
  readonly #records = new Map<string, ToolRecord>();
  #characters = 0;
  #firstMs = 0;
  #complete = false;

  constructor(mode: PinMode, snapshot?: ToolsSnapshot) {
    this.#mode = mode;
    if (snapshot !== undefined) this.load(snapshot);
  }

  get complete(): boolean {
    return this.#complete;
  }

  get isEmpty(): boolean {
    return this.#records.size === 0;
  }

  find(name: string): ToolRecord | undefined {
    return this.#records.get(name);
  }

  snapshot(): ToolsSnapshot {
    return { records: [...this.#records.values()], firstMs: this.#firstMs, complete: this.#complete };
  }

  load({ records, firstMs, complete }: ToolsSnapshot): void {
    this.#records.clear();
    this.#characters = 0;
    for (const record of records) this.put(record);
    this.#firstMs = firstMs;
    this.#complete = complete;
  }

  /** As far as the supervisor has come. */
  progress(firstMs: number, complete: boolean): void {
    this.#firstMs = firstMs;
    this.#complete = complete;
  }

  /** As the supervisor has decided it. */
  put(record: ToolRecord): void {
    this.remove(record.name);
    this.#records.set(record.name, record);
    this.#characters += charactersOf(record);
  }

  remove(name: string): void {
    const before = this.#records.get(name);
    if (before === undefined) return;
    this.#records.delete(name);
    this.#characters -= charactersOf(before);
  }

  /** May an unknown tool still be pinned without being accepted? */
  isOpen(nowMs: number): boolean {
    return (
      this.#mode === "first_use" && !this.#complete && (this.#firstMs === 0 || nowMs < this.#firstMs + FIRST_USE_MS)
    );
  }

  /** One tool of a list. Null: nothing is new about it, or not worth another write. */
  see(name: string, definition: ToolDefinition, nowMs: number): ToolChange | null {
    const before = this.#records.get(name);
    const isOpen = this.isOpen(nowMs);
    this.#firstMs ||= nowMs;
    if (before === undefined) {
      const isRoom =
        this.#records.size < TOOLS_MAX && this.#characters + definition.text.length <= TOOLS_CHARACTERS_MAX;
      if (!isRoom) return { name, news: "refused" };
      const pins = isOpen && canPinUnseen(definition);
      this.put({
        name,
        pinned: pins ? definition : null,
        seen: pins ? null : definition,
        vanished: false,
        atMs: nowMs,
        vanishedMs: 0,
        by: pins ? "first_use" : "",
      });
      return { name, news: pins ? "pinned" : "new" };
    }
    const shown = before.seen ?? before.pinned;
    const isSame = shown?.digest === definition.digest;
    if (isSame && !before.vanished) return null;
    if (isSame) {
      this.put({ ...before, vanished: false });
      return { name, news: "returned" };
    }
    if (before.seen !== null && nowMs < before.atMs + AGAIN_MS) return null;
    if (this.#characters + definition.text.length > TOOLS_CHARACTERS_MAX) return { name, news: "refused" };
    this.put({ ...before, seen: definition, vanished: false, atMs: nowMs });
    return { name, news: before.pinned === null ? "new" : "changed" };
  }

  /** A list from its first page to its last. Only what vanished is told; what is new was told by `see`. */
  seeWhole(names: ReadonlySet<string>, nowMs: number): ToolChange[] {
    this.#firstMs ||= nowMs;
    this.#complete = true;
    const changes: ToolChange[] = [];
    for (const record of this.#records.values()) {
      const { name, vanished, vanishedMs } = record;
      if (vanished || names.has(name) || (vanishedMs > 0 && nowMs < vanishedMs + VANISH_AGAIN_MS)) continue;
      // What was never accepted and is gone need not be accepted any more.
      if (record.pinned === null) this.remove(name);
      else this.put({ ...record, vanished: true, vanishedMs: nowMs });
      changes.push({ name, news: "vanished" });
    }
    return changes;
  }

  /** What was seen last is in force; a tool that vanished is forgotten. False: there is nothing of it to accept. */
  accept(name: string, by: string, nowMs: number): boolean {
    const record = this.#records.get(name);
    if (record === undefined || stateOf(record) === "pinned") return false;
    if (record.seen === null) this.remove(name);
    else this.put({ ...record, pinned: record.seen, seen: null, atMs: nowMs, by });
    return true;
  }
}

export function stateOf({ pinned, seen, vanished }: ToolRecord): ToolState {
  if (pinned === null) return "new";
  if (seen !== null) return "changed";
  return vanished ? "vanished" : "pinned";
}

function charactersOf({ pinned, seen }: ToolRecord): number {
  return (pinned?.text.length ?? 0) + (seen?.text.length ?? 0);
}
