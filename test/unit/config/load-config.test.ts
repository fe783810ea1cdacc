// The configuration: every problem at once, in plain words, and a frozen value where there is none.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { configJsonSchema } from "../../../src/config/config-json-schema.ts";
import { loadConfig } from "../../../src/config/load-config.ts";
import { maskConfig } from "../../../src/config/mask-config.ts";
import { nearestKey } from "../../../src/config/nearest-key.ts";
import { readSecret } from "../../../src/config/read-secret.ts";
import { packageRoot } from "../../../src/lib/package-root.ts";

const folder = mkdtempSync(join(tmpdir(), "cordon-config-"));
after(() => rmSync(folder, { recursive: true }));

const route = {
  name: "tool",
  path: "/tool/{id}",
  methods: ["GET"],
  resource: { type: "thing", classification: "public" },
  upstream: { url: "https://tool.example" },
};
const base = {
  version: 1,
  listeners: [{ name: "traffic", port: 8080 }],
  public_origins: ["http://127.0.0.1:8080"],
  issuers: [
    {
      issuer: "http://127.0.0.1:8081",
      audience: ["http://127.0.0.1:8080"],
      trust_domain: "acme.example",
      jwks: { url: "http://127.0.0.1:8081/jwks" },
    },
  ],
  routes: [route],
};

function load(value: unknown, env: NodeJS.ProcessEnv = {}) {
  const file = join(folder, "cordon.yaml");
  writeFileSync(file, typeof value === "string" ? value : stringify(value, { aliasDuplicateObjects: false }));
  return loadConfig(file, env);
}

function paths(value: unknown): string[] {
  const loaded = load(value);
  assert.equal(loaded.ok, false);
  return loaded.error.map((problem) => problem.path);
}

test("a sound configuration has every default, absolute paths, and is frozen to the leaf", () => {
  const loaded = load(base);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const { config } = loaded.value;
  assert.equal(config.data_folder, join(folder, "data"));
  assert.equal(config.audit.file, join(folder, "data", "audit", "audit.jsonl"));
  assert.equal(config.limits.headers_max, 100);
  assert.ok(Object.isFrozen(config.routes[0]?.resource.attributes));
});

test("the environment replaces ports and data folder, and loopback origins follow", () => {
  const env = {
    CORDON_PORT: "9001",
    CORDON_ISSUER_PORT: "9002",
    CORDON_CONTROL_PORT: "9003",
    CORDON_DATA_FOLDER: folder,
  };
  const broker = { issuer: "http://127.0.0.1:8081", trust_domain: "acme.example" };
  const loaded = load({ ...base, broker }, env);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const { config } = loaded.value;
  assert.equal(config.listeners[0]?.port, 9001);
  assert.deepEqual(config.public_origins, ["http://127.0.0.1:9001"]);
  assert.deepEqual(config.issuers[0]?.audience, ["http://127.0.0.1:9001"]);
  assert.equal(config.issuers[0]?.issuer, "http://127.0.0.1:9002");
  assert.equal(config.broker?.issuer, "http://127.0.0.1:9002");
  assert.equal(config.broker?.port, 9002);
  assert.equal(config.admin.port, 9003);
  assert.equal(config.data_folder, folder);
  assert.deepEqual(
    [load(base, { CORDON_PORT: "web" })].map((bad) => !bad.ok && bad.error[0]?.path),
    ["CORDON_PORT"],
  );
});

test("faults of shape, of files and between fields are told together", () => {
  const found = paths({
    ...base,
    lisners: [],
    routes: [
      { ...route, upstraem: 1, upstream: { url: "https://tool.example", ca: "none.pem" } },
      { ...route, name: "second", path: "/tool/{other}" },
      { ...route, name: "third", path: "/third", methods: "GET" },
    ],
  });
  assert.deepEqual(
    new Set(found),
    new Set(["lisners", "routes[0].upstraem", "routes[0].upstream.ca", "routes[1].path", "routes[2].methods"]),
  );
});

test("parts that contradict each other are refused", () => {
  const upstream = { url: "http://user:pw@tool.example", client_certificate: "a.pem", spiffe_id: "spiffe://a/b" };
  const cases: [string, unknown][] = [
    ["listeners[0].address", { ...base, listeners: [{ name: "a", port: 8080, address: "0.0.0.0" }] }],
    [
      "listeners[1].name",
      {
        ...base,
        listeners: [
          { name: "a", port: 1 },
          { name: "a", port: 2 },
        ],
      },
    ],
    [
      "listeners[1].port",
      {
        ...base,
        listeners: [
          { name: "a", port: 1 },
          { name: "b", port: 1 },
        ],
      },
    ],
    ["admin.port", { ...base, admin: { port: 8080 } }],
    ["budgets[0]", { ...base, budgets: [{ name: "idle", per: ["agent"] }] }],
    [
      "budgets[0].ends_streams",
      { ...base, budgets: [{ name: "pace", per: ["agent"], concurrent: 1, ends_streams: true }] },
    ],
    ["budgets[0].per", { ...base, budgets: [{ name: "twice", per: ["task", "task"], concurrent: 1 }] }],
    [
      "budgets[0].match.routes[0]",
      { ...base, budgets: [{ name: "astray", match: { routes: ["tol"] }, per: ["task"], concurrent: 1 }] },
    ],
    [
      "budgets[0].match",
      { ...base, budgets: [{ name: "never", match: { tools: ["refund"] }, per: ["task"], concurrent: 1 }] },
    ],
    [
      "budgets[1].name",
      { ...base, budgets: [1, 2].map((concurrent) => ({ name: "same", per: ["agent"], concurrent })) },
    ],
    [
      "budgets[0].sum",
      {
        ...base,
        routes: [{ ...route, body: "stream" }],
        budgets: [{ name: "unread", per: ["task"], sum: { argument: "/amount", max: 1 } }],
      },
    ],
    [
      "budgets[0].request_bytes_total",
      {
        ...base,
        routes: [{ ...route, upgrade: ["websocket"] }],
        budgets: [{ name: "tunnel", match: { tools: ["tool"] }, per: ["task"], request_bytes_total: 1 }],
      },
    ],
    ["limits.headers_timeout_ms", { ...base, limits: { headers_timeout_ms: 2001, request_timeout_ms: 2000 } }],
    ["limits.headers_timeout_ms", { ...base, limits: { headers_timeout_ms: 60_001 } }],
    ["routes[0].limits.body_bytes_max", { ...base, limits: { bodies_bytes_max: 4 * 1_048_576 - 1 } }],
    ["routes[0].host", { ...base, routes: [{ ...route, host: "https://other.example" }] }],
    ["routes[0].path", { ...base, routes: [{ ...route, path: "/a//b" }] }],
    ["routes[0].upstream.url", { ...base, routes: [{ ...route, upstream }] }],
    ["routes[0].upstream.client_key", { ...base, routes: [{ ...route, upstream }] }],
    ["routes[0].upstream.spiffe_id", { ...base, routes: [{ ...route, upstream }] }],
    ["issuers[1].issuer", { ...base, issuers: [...base.issuers, ...base.issuers] }],
    ["broker.issuer", { ...base, broker: { issuer: "http://127.0.0.1:7", trust_domain: "a" } }],
  ];
  for (const [path, value] of cases) assert.ok(paths(value).includes(path), `${path} in ${paths(value).join(" ")}`);
});

test("a new signing key is published for longer than the gateway keeps the key set of its issuer", () => {
  const [entry] = base.issuers;
  const issuers = [{ ...entry, jwks: { url: "http://127.0.0.1:8081/jwks", max_age_s: 240, cooldown_s: 30 } }];
  const broker = { issuer: entry?.issuer, trust_domain: "acme.example" };
  const long = load({ ...base, issuers, broker: { ...broker, key_overlap_s: 300 } });
  assert.ok(long.ok, JSON.stringify(long));
  assert.deepEqual(paths({ ...base, issuers, broker: { ...broker, key_overlap_s: 299 } }), ["broker.key_overlap_s"]);
});

test("an application and an identity provider that could not be meant are refused", () => {
  const issuer = base.issuers[0]?.issuer;
  const application = { name: "hiring", jwks: "jwks.json", orchestrations: ["*"] };
  const provider = { issuer: "https://idp.example", audience: ["a"], jwks: { url: "https://idp.example/jwks" } };
  const broker = { issuer, trust_domain: "acme.example", authorization_details_types: ["ranking"] };
  const cases: [string, Record<string, unknown>][] = [
    ["broker.applications[1].name", { applications: [application, application] }],
    ["broker.applications[0].scope[0]", { applications: [{ ...application, scope: ["*:a:b"] }] }],
    ["broker.applications[0].principals[0]", { applications: [{ ...application, principals: ["*"] }] }],
    ["broker.applications[0].depth_max", { applications: [{ ...application, depth_max: 6 }] }],
    [
      "broker.applications[0].authorization_details[0].type",
      { applications: [{ ...application, authorization_details: [{ type: "payment" }] }] },
    ],
    ["broker.identity_providers[0].issuer", { identity_providers: [{ ...provider, issuer }] }],
    ["broker.identity_providers[1].issuer", { identity_providers: [provider, provider] }],
  ];
  for (const [path, members] of cases) {
    const found = paths({ ...base, broker: { ...broker, ...members } });
    assert.ok(found.includes(path), `${path} in ${found.join(" ")}`);
  }
});

test("the head of a request may take as long as the whole request", () => {
  const limits = { headers_timeout_ms: 2000, request_timeout_ms: 2000 };
  const loaded = load({ ...base, limits });
  assert.ok(loaded.ok, JSON.stringify(loaded));
});

test("routes with other hosts, methods or a more specific path do not clash", () => {
  const routes = [route, { ...route, name: "b", methods: ["POST"] }, { ...route, name: "c", path: "/tool/one" }];
  assert.ok(load({ ...base, routes }).ok);
});

test("duplicate keys, bad UTF-8, cycles and alias bombs are problems, not exceptions", () => {
  for (const text of ["version: 1\nversion: 1\n", "a: &a [*a]\n", "%", "\u0000", "[".repeat(50_000)]) {
    const loaded = load(text);
    assert.ok(!loaded.ok && loaded.error.length > 0, text.slice(0, 20));
  }
});

test("no input makes the loader throw", () => {
  const keys = fc.constantFrom(
    ...Object.keys(base),
    "__proto__",
    "constructor",
    "tls",
    "broker",
    "quarantine",
    "policy",
  );
  const json = fc.jsonValue();
  const mutated = fc.dictionary(keys, json).map((extra) => ({ ...base, ...extra }));
  const property = fc.property(fc.oneof(fc.string(), json, mutated), (value) => {
    const loaded = load(value);
    assert.ok(
      loaded.ok || loaded.error.every(({ path, problem, mend }) => path !== "" && problem !== "" && mend !== ""),
    );
  });
  fc.assert(property, { numRuns: 300 });
});

test("the nearest known key is suggested, and nothing where none is near", () => {
  assert.equal(nearestKey("lisners", ["listeners", "limits"]), "listeners");
  assert.equal(nearestKey("zzz", ["listeners", "limits"]), undefined);
});

test("a credential that no header carries, or in a header that frames a message, is refused at the start", () => {
  const withCredential = (credential: object) => ({
    ...base,
    routes: [{ ...route, upstream: { url: "https://tool.example", credential } }],
  });
  writeFileSync(join(folder, "good"), "s3cret\n");
  writeFileSync(join(folder, "two-lines"), "s3cret\nX-Admin: 1\n");
  const from = { file: join(folder, "good") };
  assert.ok(load(withCredential({ header: "X_Api.Key", prefix: "Key ", from })).ok);
  for (const [member, credential] of [
    ["header", { header: "X Api", from }],
    ["header", { header: "Transfer-Encoding", from }],
    ["header", { header: "HOST", from }],
    ["prefix", { prefix: "Key\r\n", from }],
    ["from", { from: { file: join(folder, "two-lines") } }],
  ] as const) {
    assert.deepEqual(paths(withCredential(credential)), [`routes[0].upstream.credential.${member}`]);
  }
  assert.equal(readSecret({ env: "KEY" }, { KEY: "a\nb" }).ok, false);
});

test("a secret loses its trailing newline, and an empty one is refused", () => {
  writeFileSync(join(folder, "secret"), "s3cret\n");
  writeFileSync(join(folder, "empty"), "\n");
  assert.deepEqual(readSecret({ file: join(folder, "secret") }, {}), { ok: true, value: "s3cret" });
  assert.equal(readSecret({ file: join(folder, "empty") }, {}).ok, false);
  assert.deepEqual(readSecret({ env: "KEY" }, { KEY: "v" }), { ok: true, value: "v" });
  assert.equal(readSecret({ env: "KEY" }, {}).ok, false);
});

test("userinfo and query of a URL are masked", () => {
  assert.deepEqual(maskConfig({ a: ["https://u:p@h/x?key=1", "https://h/x", 3] }), {
    a: ["https://***@h/x", "https://h/x", 3],
  });
});

test("docs/config.schema.json is current", () => {
  const text = readFileSync(join(packageRoot(), "docs", "config.schema.json"), "utf8");
  assert.deepEqual(
    JSON.parse(text),
    JSON.parse(JSON.stringify(configJsonSchema())),
    "run node scripts/write-config-schema.ts",
  );
});

test("a SPIFFE trust domain belongs to one issuer, its types are fixed, and its file is a bundle with a key for JWT-SVIDs", () => {
  const key = { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid: "k" };
  const write = (name: string, value: unknown): string => {
    writeFileSync(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));
    return join(folder, name);
  };
  const bundle = write("bundle.json", { keys: [{ ...key, use: "jwt-svid" }], spiffe_sequence: 1 });
  const entry = { kind: "spiffe", issuer: "spiffe://a.example", audience: ["a"], trust_domain: "a.example" };
  const withIssuers = (...issuers: object[]) => ({ ...base, issuers: [...base.issuers, ...issuers] });
  const spiffe = { ...entry, jwks: { file: bundle } };
  assert.ok(load(withIssuers(spiffe)).ok);
  assert.deepEqual(paths(withIssuers({ ...spiffe, trust_domain: "acme.example" })), ["issuers[1].trust_domain"]);
  assert.deepEqual(paths(withIssuers({ ...spiffe, token_types: ["at+jwt"] })), ["issuers[1].token_types"]);
  const jwks = write("plain.json", { keys: [{ ...key, use: "sig" }] });
  assert.deepEqual(paths(withIssuers({ ...entry, jwks: { file: jwks } })), ["issuers[1].jwks.file"]);
  const twice = write("twice.json", `{"keys":[],"keys":[${JSON.stringify({ ...key, use: "jwt-svid" })}]}`);
  assert.deepEqual(paths(withIssuers({ ...entry, jwks: { file: twice } })), ["issuers[1].jwks.file"]);
});

test("a route of kind mcp has POST, at most GET and DELETE beside it, and its messages are read", () => {
  const mcp = { ...route, path: "/mcp", kind: "mcp", methods: ["POST", "GET", "DELETE"] };
  const loaded = load({ ...base, routes: [{ ...mcp, mcp: {} }] });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(loaded.value.config.routes[0]?.mcp, {
    versions: ["2025-11-25", "2026-07-28"],
    allowed_origins: [],
    tools: { pin: "first_use", on_drift: "block" },
  });
  for (const [changes, path] of [
    [{ methods: ["GET", "DELETE"] }, "methods"],
    [{ methods: ["POST", "PUT"] }, "methods"],
    [{ body: "stream" }, "body"],
    [{ upgrade: ["websocket"] }, "upgrade"],
    [{ kind: "http", mcp: {} }, "mcp"],
    [{ mcp: { versions: [] } }, "mcp.versions"],
    [{ mcp: { versions: ["2025-06-18"] } }, "mcp.versions[0]"],
    [{ mcp: { allowed_origins: ["*"] } }, "mcp.allowed_origins[0]"],
  ] as const) {
    assert.deepEqual(paths({ ...base, routes: [{ ...mcp, ...changes }] }), [`routes[0].${path}`]);
  }
});
