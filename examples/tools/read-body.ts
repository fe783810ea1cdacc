// In: a request. Out: its body as text, or undefined when it is larger than the limit.
// It trusts nothing: a body over the limit is read to its end but not kept, so that the answer can be delivered.
import type { IncomingMessage } from "node:http";

export async function readBody(request: IncomingMessage, bytesMax: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
  }
  return bytes > bytesMax ? undefined : Buffer.concat(chunks).toString("utf8");
}
