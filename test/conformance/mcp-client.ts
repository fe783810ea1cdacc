// In: the address of the conformance suite's server; a scenario and a version in the environment. Out: an exit code.
// A public MCP client with the library's `fetch`, as a program of its own: the suite starts it anew for each scenario.
import { auth, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { createOAuthFetch } from "../../src/agent/create-oauth-fetch.ts";
import { mcpTransportOptions } from "../../src/agent/mcp-options.ts";
import { Application } from "../fixtures/mcp-application.ts";
import { stateless, STATELESS_VERSION } from "../fixtures/mcp-route.ts";

const url = new URL(process.argv[2] ?? "");
const { MCP_CONFORMANCE_SCENARIO: scenario = "", MCP_CONFORMANCE_PROTOCOL_VERSION: version } = process.env;
const key = createKey();

/** The suite's server asks no person: it answers with the code at once. */
async function codeOf(application: Application): Promise<string> {
  if (application.asked === undefined) throw new Error("no authorization endpoint was found");
  const { headers } = await fetch(application.asked, { redirect: "manual" });
  return new URL(headers.get("location") ?? "").searchParams.get("code") ?? "";
}

async function work(transport: StreamableHTTPClientTransport): Promise<void> {
  const client = new Client({ name: "agent", version: "1.0.0" });
  await client.connect(transport);
  const { tools } = await client.listTools();
  for (const { name } of tools) await client.callTool({ name, arguments: { a: 2, b: 40 } });
  await client.close();
}

/** The whole flow is the SDK's. */
async function workAfterLogin(): Promise<void> {
  const authProvider = new Application();
  const options = { authProvider, fetch: createOAuthFetch({ key }) };
  const transport = new StreamableHTTPClientTransport(url, options);
  try {
    await new Client({ name: "agent", version: "1.0.0" }).connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  await transport.finishAuth(await codeOf(authProvider));
  await work(new StreamableHTTPClientTransport(url, options));
}

/** The SDK has no transport of this version: the login is its own, the messages are the tests'. */
async function workAfterLoginStateless(): Promise<void> {
  const provider = new Application();
  const fetchFn = createOAuthFetch({ key });
  await auth(provider, { serverUrl: url, fetchFn });
  await auth(provider, { serverUrl: url, fetchFn, authorizationCode: await codeOf(provider) });
  for (const method of ["tools/list", "tools/list"]) {
    const { headers, body } = stateless(method);
    const authorization = `Bearer ${provider.tokens()?.access_token}`;
    const answer = await fetchFn(url, { method: "POST", headers: { ...headers, authorization }, body });
    if (!answer.ok) throw new Error(`${method}: ${answer.status} ${await answer.text()}`);
  }
}

if (scenario.startsWith("auth/")) {
  await (version === STATELESS_VERSION ? workAfterLoginStateless() : workAfterLogin());
} else {
  const agent = { fetch: createDpopFetch({ getToken: () => "any", key }) };
  await work(new StreamableHTTPClientTransport(url, mcpTransportOptions(agent)));
}
