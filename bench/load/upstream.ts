// In: a folder and ports. Out: nginx on loopback: a tool that answers from memory, and where asked, TLS clients for wrk.
// Trusts: Debian's nginx. One process, no logs, everything it writes is in the folder.
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Child, ChildProcesses } from "./child-processes.ts";
import { STREAM_MODULE } from "./install-debian.ts";
import { listAnswer, toolOf } from "./mcp-tools.ts";

/** About 200 bytes, as a small tool answers; `salary` is what the hiring policy has the gateway remove. */
export const TOOL_ANSWER = JSON.stringify({
  candidate_id: "C7",
  job_id: "J42",
  name: "Candidate 7",
  skills: ["typescript", "postgres", "kubernetes", "rego"],
  years: 9,
  notice_weeks: 4,
  location: "Rotterdam",
  salary: 84_000,
  score: null,
  updated_at: "2026-09-01T12:00:00Z",
});

export const MCP_PATH = "/mcp";
/** What a call of an MCP tool answers. */
const CALL_ANSWER = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  result: { content: [{ type: "text", text: "12 records match." }], structuredContent: { matches: 12 } },
});

/** The tool that is called, as its server lists it. */
const LIST_ANSWER = listAnswer([toolOf(0)]);

/** Takes plain HTTP on `port` and passes it to `target` over TLS with a client certificate: wrk cannot present one. */
export interface TlsClient {
  readonly port: number;
  readonly target: number;
}

export async function startUpstream(
  processes: ChildProcesses,
  options: {
    readonly nginx: string;
    readonly folder: string;
    readonly cores: string | undefined;
    readonly port: number;
    readonly tlsClients: readonly TlsClient[];
    /** PEM files of the client certificate. */
    readonly client: { readonly certificate: string; readonly key: string } | undefined;
  },
): Promise<Child> {
  const { folder, port, tlsClients, client } = options;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n  ");
  const streams = client === undefined ? "" : streamConfig(tlsClients, client);
  writeFileSync(
    path.join(folder, "nginx.conf"),
    `${streams === "" ? "" : `load_module ${STREAM_MODULE};\n`}daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  ${temporary}
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  default_type application/json;
  server {
    listen 127.0.0.1:${port} backlog=1024;
    large_client_header_buffers 4 16k;
    location = ${MCP_PATH} {
      if ($http_mcp_method = "tools/list") { return 200 '${LIST_ANSWER}'; }
      return 200 '${CALL_ANSWER}';
    }
    location / { return 200 '${TOOL_ANSWER}'; }
  }
}
${streams}`,
  );
  const args = ["-p", folder, "-c", path.join(folder, "nginx.conf"), "-e", "stderr"];
  // nginx says nothing when it is ready, so it is asked.
  const ready = (): Promise<void> => waitForAnswer(`http://127.0.0.1:${port}/`);
  return processes.start(options.nginx, args, { cores: options.cores, ready });
}

function streamConfig(
  clients: readonly TlsClient[],
  client: { readonly certificate: string; readonly key: string },
): string {
  const servers = clients.map(
    ({ port, target }) => `  server {
    listen 127.0.0.1:${port};
    proxy_pass 127.0.0.1:${target};
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_certificate ${client.certificate};
    proxy_ssl_certificate_key ${client.key};
    proxy_timeout 600s;
    tcp_nodelay on;
  }`,
  );
  return `stream {\n${servers.join("\n")}\n}\n`;
}

async function waitForAnswer(url: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("nginx does not answer");
}
