// In: a configuration whose parts are well-formed. Out: a problem wherever two parts contradict each other.
import { parsePathTemplate, templatesClash } from "../action/path-template.ts";
import { checkBudgets } from "./check-budgets.ts";
import { BODY_SHARE } from "../lib/body-share.ts";
import type { Report } from "./config-problem.ts";
import type { ConfigView, ParsedConfig } from "./config-view.ts";
import { isLoopback } from "./is-loopback.ts";

type Route = ParsedConfig["routes"][number];
type Upstream = Route["upstream"];

export function checkFields(view: ConfigView, report: Report): void {
  checkUnique(view, report);
  checkListeners(view, report);
  checkIssuers(view, report);
  checkLimits(view, report);
  checkRoutes(view, report);
  if (view.quarantine !== undefined) checkUpstream("quarantine.monitor", view.quarantine.monitor, report);
  checkBroker(view, report);
  checkBudgets(view, report);
  if (view.policy?.bundle !== undefined && view.policy.source !== undefined) {
    report("policy.source", "Both a bundle and a source folder are named.", "Keep one of them.");
  }
}

function checkUnique(view: ConfigView, report: Report): void {
  const lists: [string, string, readonly (string | undefined)[]][] = [
    ["listeners", ".name", view.listeners.map((listener) => listener?.name)],
    ["routes", ".name", view.routes.map((route) => route?.name)],
    ["budgets", ".name", view.budgets.map((budget) => budget?.name)],
    ["issuers", ".issuer", view.issuers.map((issuer) => issuer?.issuer)],
    ["broker.clients", ".client_id", view.broker?.clients.map((client) => client.client_id) ?? []],
    ["broker.resource_servers", ".client_id", view.broker?.resource_servers.map((server) => server.client_id) ?? []],
    ["broker.applications", ".name", view.broker?.applications.map((application) => application.name) ?? []],
    ["broker.identity_providers", ".issuer", view.broker?.identity_providers.map(({ issuer }) => issuer) ?? []],
    ["broker.publishers", ".name", view.broker?.publishers.map((publisher) => publisher.name) ?? []],
    ["public_origins", "", view.public_origins],
  ];
  for (const [list, key, values] of lists) {
    values.forEach((value, index) => {
      const first = values.indexOf(value);
      if (value === undefined || first === index) return;
      report(
        `${list}[${index}]${key}`,
        `This is the same as ${list}[${first}]${key}.`,
        "Give each one its own, or remove one.",
      );
    });
  }
}

/** What names the agents of a SPIFFE trust domain is its authority alone; and a JWT-SVID is looked up by that domain. */
function checkIssuers(view: ConfigView, report: Report): void {
  view.issuers.forEach((issuer, index) => {
    if (issuer?.kind !== "spiffe") return;
    const path = `issuers[${index}]`;
    const other = view.issuers.findIndex((one, at) => at !== index && one?.trust_domain === issuer.trust_domain);
    if (other !== -1) {
      const mend = "Give each its own trust domain, or remove one.";
      report(`${path}.trust_domain`, `issuers[${other}] names agents of this trust domain too.`, mend);
    }
    if (issuer.token_types !== undefined) {
      const problem = "The types of a JWT-SVID are fixed by SPIFFE: `JWT`, `JOSE` or none.";
      report(`${path}.token_types`, problem, "Remove it.");
    }
  });
}

interface Endpoint {
  readonly path: string;
  readonly address: string;
  readonly port: number;
  readonly plainBeyondLoopback: boolean;
}

function checkListeners(view: ConfigView, report: Report): void {
  const endpoints: Endpoint[] = [];
  view.listeners.forEach((listener, index) => {
    if (listener === undefined) return;
    const path = `listeners[${index}]`;
    const plain = listener.tls === undefined && !listener.allow_plain_http_beyond_loopback;
    endpoints.push({ path, address: listener.address, port: listener.port, plainBeyondLoopback: plain });
    if (
      listener.tls !== undefined &&
      listener.tls.client_certificates !== "off" &&
      listener.tls.client_ca === undefined
    ) {
      report(
        `${path}.tls.client_ca`,
        "Client certificates are asked for, but no CA is named.",
        "Name the PEM bundle of their CA.",
      );
    }
  });
  for (const [path, server] of [
    ["broker", view.broker],
    ["admin", view.admin],
  ] as const) {
    if (server === undefined) continue;
    const plain = !server.allow_plain_http_beyond_loopback;
    endpoints.push({ path, address: server.address, port: server.port, plainBeyondLoopback: plain });
  }
  endpoints.forEach((endpoint, index) => {
    if (endpoint.plainBeyondLoopback && !isLoopback(endpoint.address)) {
      const mend = "Use 127.0.0.1, add `tls` to a listener, or set `allow_plain_http_beyond_loopback: true`.";
      report(`${endpoint.path}.address`, "Plain HTTP would be reachable from other machines.", mend);
    }
    const other = endpoints.slice(0, index).find((earlier) => isSameSocket(earlier, endpoint));
    if (other !== undefined)
      report(`${endpoint.path}.port`, `${other.path} uses this port too.`, "Choose another port.");
  });
}

/** Node refuses to listen with such a pair, in a sentence that names neither key. */
function checkLimits({ limits }: ConfigView, report: Report): void {
  if (limits === undefined || limits.headers_timeout_ms <= limits.request_timeout_ms) return;
  const problem = `The head may take ${limits.headers_timeout_ms} ms, and the whole request only ${limits.request_timeout_ms} ms.`;
  const mend = "Lower it to at most `limits.request_timeout_ms`, or raise that one.";
  report("limits.headers_timeout_ms", problem, mend);
}

/** Port 0 is a different free port each time. */
function isSameSocket(a: Endpoint, b: Endpoint): boolean {
  const isAny = (address: string) => address === "0.0.0.0" || address === "::";
  return a.port !== 0 && a.port === b.port && (a.address === b.address || isAny(a.address) || isAny(b.address));
}

function checkRoutes(view: ConfigView, report: Report): void {
  const parsed = view.routes.map((route, index) => {
    if (route === undefined) return undefined;
    const path = `routes[${index}]`;
    checkRoute(path, route, view, report);
    const template = parsePathTemplate(route.path);
    if (template.ok) return { route, template: template.value };
    report(
      `${path}.path`,
      `This is not a path template: ${template.error}.`,
      "Write such as `/jobs/{job_id}/candidates/**`.",
    );
    return undefined;
  });
  parsed.forEach((entry, index) => {
    if (entry === undefined) return;
    const clash = parsed.slice(0, index).findIndex((other) => {
      if (other === undefined || !templatesClash(entry.template, other.template)) return false;
      const { route } = other;
      const sameHost = route.host === undefined || entry.route.host === undefined || route.host === entry.route.host;
      return sameHost && route.methods.some((method) => entry.route.methods.includes(method));
    });
    if (clash === -1) return;
    const problem = `routes[${clash}] (${view.routes[clash]?.name}) matches the same requests with equal right.`;
    report(`routes[${index}].path`, problem, "Give them different paths, hosts or methods, or merge them.");
  });
}

function checkRoute(path: string, route: Route, view: ConfigView, report: Report): void {
  if (route.host !== undefined && !view.public_origins.includes(route.host)) {
    report(`${path}.host`, "This origin is not one of `public_origins`.", "Add it there, or name one that is.");
  }
  if (route.upgrade.length > 0 && !route.methods.includes("GET")) {
    report(`${path}.upgrade`, "An upgrade is a GET request, and this route has no GET.", "Add GET to `methods`.");
  }
  const prefix = route.upstream.strip_prefix;
  if (prefix !== undefined && route.path !== prefix && !route.path.startsWith(`${prefix}/`)) {
    report(`${path}.upstream.strip_prefix`, "The route's path does not start with this.", "Write the start of `path`.");
  }
  const inputMax = view.policy?.input_bytes_max;
  if (route.body === "json" && inputMax !== undefined && route.limits.body_bytes_max > inputMax) {
    const mend = "Lower it, or raise `policy.input_bytes_max` above it.";
    report(`${path}.limits.body_bytes_max`, "Policy could not take a body of this size.", mend);
  }
  const held = view.limits?.bodies_bytes_max;
  if (route.body === "json" && held !== undefined && route.limits.body_bytes_max > held / BODY_SHARE) {
    const mend = `Lower it, or raise \`limits.bodies_bytes_max\` to ${BODY_SHARE} times of it.`;
    report(`${path}.limits.body_bytes_max`, "No agent may hold a body of this size.", mend);
  }
  checkMcp(path, route, report);
  checkOpenapi(path, route, report);
  checkUpstream(`${path}.upstream`, route.upstream, report);
}

/** One endpoint, whose messages are all read: MCP, "Streamable HTTP". */
function checkMcp(path: string, route: Route, report: Report): void {
  if (route.kind === "http") {
    if (route.mcp !== undefined) report(`${path}.mcp`, "This route is of kind `http`.", "Write `kind: mcp`.");
    return;
  }
  if (!route.methods.includes("POST")) {
    report(`${path}.methods`, "Messages of MCP are sent by POST, and this route has no POST.", "Add POST.");
  }
  if (!route.methods.every((method) => method === "POST" || method === "GET" || method === "DELETE")) {
    report(`${path}.methods`, "MCP knows POST, GET and DELETE only.", "Remove the others.");
  }
  if (route.body === "stream") {
    report(`${path}.body`, "Policy judges the messages of this route.", "Remove `body`, or write `json`.");
  }
  if (route.upgrade.length > 0) report(`${path}.upgrade`, "MCP has no protocol upgrade.", "Remove `upgrade`.");
}

/** Its operations are judged by their arguments, so every part of a request is read. */
function checkOpenapi(path: string, route: Route, report: Report): void {
  if (route.openapi === undefined) return;
  if (route.kind === "mcp") {
    report(`${path}.openapi`, "Tools of MCP are described by their server.", "Remove it, or write `kind: http`.");
  }
  if (route.tool !== undefined) {
    report(`${path}.tool`, "The operations of the document name the tools.", "Remove `tool`, or `openapi`.");
  }
  if (route.body === "stream") {
    report(`${path}.body`, "The bodies of this route are read.", "Remove `body`, or write `json`.");
  }
  if (route.upgrade.length > 0) {
    report(`${path}.upgrade`, "OpenAPI describes no protocol upgrade.", "Give the upgrade a route of its own.");
  }
  const base = route.openapi.base_path;
  const parts = base?.slice(1).split("/") ?? [];
  if (parts.some((part) => part === "" || part === "." || part === ".." || part.includes("%"))) {
    report(`${path}.openapi.base_path`, "This is no plain path.", "Write such as `/ats/v1`.");
  }
}

/** The gateway's own to write: they frame the message to the tool (RFC 9110 section 7.6.1, RFC 9112 section 6). */
const FRAMING_HEADERS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function checkUpstream(path: string, upstream: Upstream, report: Report): void {
  const header = upstream.credential?.header;
  if (header !== undefined && FRAMING_HEADERS.has(header.toLowerCase())) {
    const mend = "Name the header in which the tool expects its credential.";
    report(`${path}.credential.header`, "This header belongs to the connection.", mend);
  }
  const url = new URL(upstream.url);
  if (url.username !== "" || url.password !== "") {
    report(`${path}.url`, "The URL carries a user name or password.", "Use `credential` with a file or a variable.");
  }
  if (url.search !== "" || url.hash !== "") {
    report(`${path}.url`, "The URL carries a query or a fragment.", "Write only origin and base path.");
  }
  if ((upstream.client_certificate === undefined) !== (upstream.client_key === undefined)) {
    const missing = upstream.client_key === undefined ? "client_key" : "client_certificate";
    report(
      `${path}.${missing}`,
      "A client certificate needs its key, and the key its certificate.",
      "Name both files.",
    );
  }
  if (url.protocol === "https:") return;
  for (const key of ["server_name", "spiffe_id", "ca", "client_certificate"] as const) {
    if (upstream[key] === undefined) continue;
    report(`${path}.${key}`, "This has no effect: the URL is plain HTTP.", "Use an `https://` URL, or remove it.");
  }
}

function checkBroker(view: ConfigView, report: Report): void {
  const broker = view.broker;
  if (broker === undefined) return;
  const entry = view.issuers.find((issuer) => issuer?.issuer === broker.issuer);
  if (entry === undefined) {
    // An entry that could not be read may be the one; its own problem is told already.
    if (view.issuers.includes(undefined)) return;
    return report(
      "broker.issuer",
      "No entry of `issuers` accepts this issuer's tokens.",
      "Add one with the same `issuer`.",
    );
  }
  if (entry.trust_domain !== broker.trust_domain) {
    report("broker.trust_domain", "The entry in `issuers` names another trust domain.", "Write the same one in both.");
  }
  if (broker.token_ttl_s > entry.max_lifetime_s) {
    const mend = "Lower it, or raise `max_lifetime_s` of the entry in `issuers`.";
    report("broker.token_ttl_s", "Its tokens would live longer than the gateway accepts.", mend);
  }
  checkKeyOverlap(broker.key_overlap_s, entry.jwks, report);
  checkApplications(broker, entry.max_lifetime_s, report);
  checkIdentityProviders(broker, report);
  broker.clients.forEach((client, index) => {
    client.scope.forEach((scope, place) => {
      const parts = scope.split(":");
      if (parts.length === 3 && !parts.includes("") && parts[0] !== "*" && parts[1] !== "*") return;
      const mend = "Write `action:resource:identifier`; only the identifier may be `*`.";
      report(`broker.clients[${index}].scope[${place}]`, "This is not a scope.", mend);
    });
  });
}

/** A gateway that read the keys just before a new one was published must read them again before that one signs. */
function checkKeyOverlap(overlapS: number, jwks: ParsedConfig["issuers"][number]["jwks"], report: Report): void {
  if (!("url" in jwks)) return;
  // The key set itself may be kept by a cache on the way for a tenth of the overlap.
  if (overlapS * 0.9 >= jwks.max_age_s + jwks.cooldown_s) return;
  const problem = `The gateway keeps a key set for ${jwks.max_age_s} s and waits ${jwks.cooldown_s} s between two fetches.`;
  const mend =
    "Raise it above both together by a ninth, or lower `max_age_s` or `cooldown_s` of the entry in `issuers`.";
  report("broker.key_overlap_s", problem, mend);
}

/** A token of this issuer names an agent: it must never stand for the person behind one. */
function checkIdentityProviders(broker: NonNullable<ConfigView["broker"]>, report: Report): void {
  broker.identity_providers.forEach(({ issuer }, index) => {
    if (issuer !== broker.issuer) return;
    const problem = "This is the broker itself, whose tokens are those of agents.";
    report(`broker.identity_providers[${index}].issuer`, problem, "Name the issuer of people's or services' tokens.");
  });
}

function checkApplications(broker: NonNullable<ConfigView["broker"]>, lifetimeSMax: number, report: Report): void {
  const types = new Set(broker.authorization_details_types);
  broker.applications.forEach((application, index) => {
    const path = `broker.applications[${index}]`;
    if ([...broker.clients, ...broker.resource_servers].some(({ client_id: id }) => id === application.name)) {
      report(
        `${path}.name`,
        "An entry of `broker.clients` or `broker.resource_servers` has this name too.",
        "Give one of them another name.",
      );
    }
    if (application.token_ttl_s_max > lifetimeSMax) {
      const mend = "Lower it, or raise `max_lifetime_s` of the entry in `issuers`.";
      report(`${path}.token_ttl_s_max`, "Its tokens would live longer than the gateway accepts.", mend);
    }
    application.authorization_details.forEach(({ type }, place) => {
      if (types.has(type)) return;
      const problem = "This type is not one of `broker.authorization_details_types`.";
      report(`${path}.authorization_details[${place}].type`, problem, "Add it there, or correct it.");
    });
  });
}
