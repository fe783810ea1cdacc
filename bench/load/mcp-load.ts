// In: one JSON argument: a kind of load and a file of whole requests. Out: one line of JSON, what became of them.
// `list`: one after the other, how long each took. `events`: streams at once, how long each event was under way.
// `rest`: streams at once, held open until SIGTERM. Anything but the answer that was expected is told, not counted.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { percentile } from "./rate-stream.ts";

export interface LoadRequest {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface McpLoadTask {
  readonly kind: "list" | "events" | "rest";
  readonly url: string;
  readonly requestsFile: string;
  /** `list`: tools in each answer; `events`: events of each stream. */
  readonly expected: number;
  /** `list`: answers at the start that are not counted; `events`: events of each stream likewise. */
  readonly skip: number;
}

export interface McpLoadResult {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly counted: number;
  readonly error?: string;
}

/** Addresses of loopback that share the connections, since one peer may hold only so many. */
const PEERS = 4;
/** Requests under way at once while streams are opened. */
const OPENING = 20;

const task = JSON.parse(process.argv[2] ?? "{}") as McpLoadTask;
const requests = JSON.parse(readFileSync(task.requestsFile, "utf8")) as LoadRequest[];

async function send(one: LoadRequest, agent: Agent | false, index = 0): Promise<IncomingMessage> {
  const { method, headers, body } = one;
  const localAddress = `127.0.0.${1 + (index % PEERS)}`;
  const length = body === "" ? {} : { "content-length": Buffer.byteLength(body) };
  const asked = request(task.url, { method, headers: { ...headers, ...length }, agent, localAddress });
  asked.end(body);
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  if (answer.statusCode === 200) return answer;
  throw new Error(`status ${answer.statusCode}: ${await textOf(answer)}`);
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function lists(): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const tookUs: number[] = [];
  for (const one of requests) {
    const startMs = performance.now();
    const text = await textOf(await send(one, agent));
    tookUs.push((performance.now() - startMs) * 1000);
    const { result } = JSON.parse(text) as { result: { tools: unknown[] } };
    if (result.tools.length !== task.expected)
      throw new Error(`${result.tools.length} tools instead of ${task.expected}`);
  }
  agent.destroy();
  return tookUs.slice(task.skip);
}

async function events(): Promise<number[]> {
  const answers = await Promise.all(requests.map((one, index) => send(one, false, index)));
  const delays = await Promise.all(answers.map(delaysOf));
  return delays.flatMap((list) => list.slice(task.skip));
}

async function delaysOf(answer: IncomingMessage): Promise<number[]> {
  const delaysUs: number[] = [];
  let rest = "";
  for await (const chunk of answer) {
    const now = process.hrtime.bigint();
    const blocks = (rest + String(chunk)).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const written = /"message":"(\d+)"/.exec(block)?.[1];
      if (written !== undefined) delaysUs.push(Number(now - BigInt(written)) / 1000);
    }
  }
  if (delaysUs.length !== task.expected) throw new Error(`${delaysUs.length} events instead of ${task.expected}`);
  return delaysUs;
}

/** Ends with an error, and without a result, when any of them ends. */
async function rest(): Promise<void> {
  for (let next = 0; next < requests.length; next += OPENING) {
    const batch = requests.slice(next, next + OPENING);
    const answers = await Promise.all(batch.map((one, index) => send(one, false, next + index)));
    for (const answer of answers) {
      answer.resume().once("close", () => {
        process.stderr.write("a stream that is to be held open has ended\n");
        process.exit(1);
      });
    }
  }
  process.stdout.write(`open ${requests.length}\n`);
}

function result(us: readonly number[]): McpLoadResult {
  const sorted = us.toSorted((a, b) => a - b);
  return { p50Us: percentile(sorted, 0.5), p99Us: percentile(sorted, 0.99), counted: us.length };
}

process.once("SIGTERM", () => process.exit(0));
if (task.kind === "rest") await rest();
else {
  const measured = await (task.kind === "list" ? lists() : events()).then(result, (error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    return { p50Us: Number.NaN, p99Us: Number.NaN, counted: 0, error: why } satisfies McpLoadResult;
  });
  process.stdout.write(`${JSON.stringify(measured)}\n`);
  // What is still open after an error would keep the process.
  process.exit(0);
}
