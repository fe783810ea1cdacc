// In: one .cpuprofile of a thread. Out: its busy time by room and by function, as text; nothing for a thread that idled.
// Trusts: Node's profiler. Native code that JavaScript calls counts for the function that called it.
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly children?: readonly number[];
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const FUNCTIONS_SHOWN = 45;
/** A thread that was busy for less of its life tells nothing of the load: the supervisor, the writer of the audit log. */
const BUSY_SHARE_MIN = 0.3;
/** Start and warm-up are left out: the code is still being compiled then. */
const SKIP_US = 3_000_000;

function placeOf(url: string, name: string): string {
  const source = /\/src\/((?:[\w-]+\/)?[\w.-]+)$/.exec(url)?.[1];
  if (source !== undefined) return source.includes("/") ? `src/${source.split("/")[0]}` : `src/${source}`;
  const part = /\/node_modules\/((?:@[\w-]+\/)?[\w.-]+)\//.exec(url)?.[1];
  if (part !== undefined) return part;
  if (url.startsWith("wasm:")) return "policy module (wasm)";
  if (url.startsWith("node:")) return nodePlace(url);
  return name === "(garbage collector)" ? "garbage collector" : "native code";
}

function nodePlace(url: string): string {
  if (/crypto/.test(url)) return "node crypto";
  if (/http/.test(url)) return "node http";
  if (/stream|net|tls/.test(url)) return "node streams and sockets";
  if (/timers|task_queues|async_hooks|promises/.test(url)) return "node timers and promises";
  return "node, other";
}

export function summariseProfile(profile: CpuProfile): string {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const parents = new Map(profile.nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])));
  const rooms = new Map<string, number>();
  const askers = new Map<string, number>();
  const functions = new Map<string, number>();
  let busyUs = 0;
  let totalUs = 0;
  let elapsedUs = 0;
  profile.samples.forEach((id, index) => {
    const frame = nodes.get(id);
    const us = Math.max(0, profile.timeDeltas[index] ?? 0);
    elapsedUs += us;
    if (elapsedUs < SKIP_US) return;
    totalUs += us;
    if (frame === undefined || frame.functionName === "(idle)") return;
    busyUs += us;
    const place = placeOf(frame.url, frame.functionName);
    const label = labelOf(frame);
    const asker = nearestOwn(id);
    askers.set(asker, (askers.get(asker) ?? 0) + us);
    rooms.set(place, (rooms.get(place) ?? 0) + us);
    functions.set(`${place}: ${label}`, (functions.get(`${place}: ${label}`) ?? 0) + us);
  });

  /** The function of Cordon itself that a sample ran for: natives, libraries and Node count for their caller. */
  function nearestOwn(start: number): string {
    for (let id: number | undefined = start; id !== undefined; id = parents.get(id)) {
      const frame = nodes.get(id);
      if (frame !== undefined && /^file:.*\/src\/[\w-]+\//.test(frame.url) && !frame.url.includes("node_modules")) {
        return labelOf(frame);
      }
    }
    return "outside of any function of Cordon: node, sockets, undici, timers";
  }

  if (busyUs < totalUs * BUSY_SHARE_MIN) return "";
  const lines = (counts: ReadonlyMap<string, number>, shown: number): string =>
    [...counts]
      .toSorted(([, a], [, b]) => b - a)
      .slice(0, shown)
      .map(([name, us]) => `  ${((us / busyUs) * 100).toFixed(1).padStart(5)}%  ${name}`)
      .join("\n");
  return `Busy ${Math.round(busyUs / 1000)} of ${Math.round(totalUs / 1000)} ms after the warm-up\n${lines(rooms, 40)}\nFunctions, own time\n${lines(functions, FUNCTIONS_SHOWN)}\nFunctions of Cordon, with what they called outside of it\n${lines(askers, FUNCTIONS_SHOWN)}\n`;
}

function labelOf(frame: CpuProfile["nodes"][number]["callFrame"]): string {
  const file = frame.url.replace(/^file:.*\/(src|node_modules)\//, "$1/");
  return `${frame.functionName || "(anonymous)"} ${file}${file === "" ? "" : `:${frame.lineNumber + 1}`}`;
}
