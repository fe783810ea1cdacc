import assert from "node:assert/strict";
import { test } from "node:test";
import type { Config } from "../../../../src/config/schema.ts";
import { createResourceMetadata } from "../../../../src/gateway/exchange/resource-metadata.ts";

const ORIGIN = "https://gateway.example";

function metadataOf(...issuers: readonly object[]) {
  const config = { listeners: [], proof: { algorithms: ["ES256"] }, issuers } as unknown as Config;
  const { at } = createResourceMetadata(config, ORIGIN);
  return (path: string) => {
    const { document, challenge } = at(path);
    const { resource, authorization_servers: servers } = JSON.parse(document) as Record<string, unknown>;
    return { resource, servers, url: /"(.*)"/.exec(challenge)?.[1] };
  };
}

test("a path is a resource of its own where an audience is exactly its URL, and names the issuers that have it", () => {
  const at = metadataOf(
    { kind: "oauth", issuer: "https://a.example", audience: [ORIGIN] },
    { kind: "oauth", issuer: "https://b.example", audience: [ORIGIN, `${ORIGIN}/mcp`] },
  );
  const wellKnown = `${ORIGIN}/.well-known/oauth-protected-resource`;
  const all = ["https://a.example", "https://b.example"];
  assert.deepEqual(at("/mcp"), { resource: `${ORIGIN}/mcp`, servers: ["https://b.example"], url: `${wellKnown}/mcp` });
  for (const path of ["", "/", "/mcp/", "/mcp/x", "/MCP"]) {
    assert.deepEqual(at(path), { resource: ORIGIN, servers: all, url: wellKnown }, path);
  }
});

test("an audience that is no plain URL of this origin makes no resource", () => {
  const audience = [
    `${ORIGIN}/`,
    `${ORIGIN}/mcp?x=1`,
    `${ORIGIN}/mcp#x`,
    "https://other.example/mcp",
    "https://GATEWAY.example/mcp",
    "mcp",
    "/mcp",
  ];
  const at = metadataOf({ kind: "oauth", issuer: "https://a.example", audience });
  for (const path of ["/", "/mcp"]) assert.equal(at(path).resource, ORIGIN, path);
});

test("a SPIFFE trust domain is no authorization server, whatever its issuer is called", () => {
  const at = metadataOf(
    { kind: "spiffe", issuer: "https://spire.example", audience: [ORIGIN] },
    { kind: "oauth", issuer: "https://a.example", audience: [ORIGIN] },
    { kind: "oauth", issuer: "an issuer without a URL", audience: [ORIGIN] },
  );
  assert.deepEqual(at("").servers, ["https://a.example"]);
});
