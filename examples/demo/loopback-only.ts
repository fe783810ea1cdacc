// In: a process that listens (loaded by `--import`). Out: the same process, listening on loopback and nowhere else.
// The public MCP server listens on every interface, answers whoever asks, and has a tool that tells its environment.
import { Server } from "node:net";

const listen = Server.prototype.listen as (this: Server, ...args: unknown[]) => Server;

Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
  const [port, ...rest] = args;
  const isPort = typeof port === "number" || (typeof port === "string" && /^\d+$/.test(port));
  if (!isPort || typeof rest[0] === "string") throw new Error("this server may listen on a port of loopback only");
  return listen.call(this, Number(port), "127.0.0.1", ...rest);
};
