// In: how many. Out: loopback ports that were free a moment ago, for servers whose URL must be known before they start.
import { createServer, type Server } from "node:net";
import { randomInt } from "node:crypto";

/** Below what Linux gives to outgoing connections (32768 and up): one of those would else take the port meanwhile. */
const PORT_MIN = 10_000;
const PORT_MAX = 32_767;
const TRIES = 100;

/** All are held until the last one is known, so that no two are the same. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, hold));
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return held.map(({ port }) => port);
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

async function hold(): Promise<{ server: Server; port: number }> {
  for (let left = TRIES; ; left--) {
    const port = randomInt(PORT_MIN, PORT_MAX + 1);
    try {
      return { server: await listen(port), port };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || left === 0) throw error;
    }
  }
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
