// In: HTTP from operators, scrapers and probes, on a listener that agents do not reach. Out: calls of the ControlPlane.
// Trusts: an operator's key and nothing else; every request under /v1 passes Host, Origin, content type, key and role first.
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import swagger from "@fastify/swagger";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from "fastify";
import type { AdminContext, ChangeRecord } from "./admin-context.ts";
import { addContainmentRoutes, addOperatorRoutes, addPolicyRoutes } from "./change-routes.ts";
import type { ControlPlane } from "./control-plane.ts";
import { createFailedAttempts } from "./failed-attempts.ts";
import { addApplicationRoutes, addKeyRoutes, addRevocationRoutes } from "./issuer-routes.ts";
import { addLabelRoutes } from "./label-routes.ts";
import { may, type Operators, type Permission } from "./operators.ts";
import { invalidRequest, PROBLEM_TYPE, type Problem, problemDocument, sendProblem } from "./problem.ts";
import { addReadRoutes } from "./read-routes.ts";
import { checkRequest, type OwnNames, ownNames } from "./request-gate.ts";
import { addToolRoutes } from "./tool-routes.ts";
import * as schemas from "./schemas.ts";

export interface AdminServerOptions {
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly allowedHosts: readonly string[];
  readonly control: ControlPlane;
  readonly operators: Operators;
  readonly logChange: (change: ChangeRecord) => void;
  /** An unexpected throw; the caller was told `id` and nothing else. */
  readonly logFailure: (id: string, error: unknown) => void;
  readonly version: string;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/** No other body than policy data comes near this. */
const BODY_BYTES_MAX = 64 * 1024;
/** Operators' calls are short; 8 MiB of policy data on a slow link fits. */
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 5000;
const CONNECTIONS_MAX = 256;
/** Enough to see what was tried. */
const DENIED_TARGET_CHARS_MAX = 256;
const BEARER = /^Bearer ([A-Za-z0-9_-]{1,128})$/i;

/** Rejects when the address is taken or not this machine's. */
export async function createAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { address, port, allowedHosts, control, operators, logChange, nowMs } = options;
  const context: AdminContext = { control, operators, logChange, nowMs };
  let own: OwnNames = { hosts: new Set(), origins: new Set() };
  const server = Fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: true,
    // A body is judged as it was sent: nothing removed, nothing converted.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: true } },
    frameworkErrors: (error, _request, reply) => {
      sendProblem(reply, { status: 400, code: "bad_target", detail: error.message });
    },
    clientErrorHandler: refuseMalformed,
  });
  server.server.maxConnections = CONNECTIONS_MAX;
  server.decorateRequest("operator", null);
  server.decorateRequest("rawJson", "");
  readJsonOnly(server);

  const known = rememberRoutes(server);
  server.addHook("onRequest", async (request, reply) => {
    reply.headers({
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
    });
    const refusal = checkRequest(request.raw, own);
    return refusal === undefined ? undefined : sendProblem(reply, refusal);
  });
  server.setErrorHandler<FastifyError>((error, _request, reply) => {
    const problem = problemOf(error);
    if (problem.id !== undefined) options.logFailure(problem.id, error);
    return sendProblem(reply, problem);
  });
  const notFound = async (request: FastifyRequest, reply: Parameters<typeof sendProblem>[0]) => {
    const methods = known(request.url);
    if (methods.length === 0)
      return sendProblem(reply, { status: 404, code: "not_found", detail: "There is nothing here." });
    reply.header("allow", methods.join(", "));
    return sendProblem(reply, { status: 405, code: "method_not_allowed", detail: `Use ${methods.join(" or ")}.` });
  };
  server.setNotFoundHandler(notFound);

  await server.register(swagger, { openapi: openApi(options.version) });
  addPublicRoutes(server, control);
  await server.register(
    async (v1) => {
      v1.addHook("onRequest", requireOperator(context));
      // Its own, so that what does not exist under /v1 asks for the key too.
      v1.setNotFoundHandler(notFound);
      addReadRoutes(v1, context);
      addContainmentRoutes(v1, context);
      addPolicyRoutes(v1, context);
      addOperatorRoutes(v1, context);
      addKeyRoutes(v1, context);
      addApplicationRoutes(v1, context);
      addRevocationRoutes(v1, context);
      addToolRoutes(v1, context);
      addLabelRoutes(v1, context);
    },
    { prefix: "/v1" },
  );

  await server.listen({ host: address, port });
  const bound = server.server.address();
  if (bound === null || typeof bound === "string") throw new Error("the operators' listener has no address");
  own = ownNames(address, bound.port, allowedHosts);
  const host = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return { url: `http://${host}:${bound.port}`, close: () => server.close() };
}

function addPublicRoutes(server: FastifyInstance, control: ControlPlane): void {
  const open = { security: [] };
  server.get(
    "/healthz",
    { schema: { ...open, summary: "The process answers", response: { 200: schemas.HEALTH } } },
    async () => ({
      alive: true,
    }),
  );
  server.get(
    "/readyz",
    { schema: { ...open, summary: "Traffic is served", response: { 200: schemas.READY, 503: schemas.READY } } },
    async (_request, reply) => {
      const ready = control.ready();
      return reply.code(ready.ready ? 200 : 503).send(ready);
    },
  );
  server.get(
    "/metrics",
    {
      schema: {
        ...open,
        summary: "Prometheus metrics",
        produces: ["text/plain"],
        response: { 200: { type: "string" } },
      },
    },
    async (_request, reply) => reply.type("text/plain; version=0.0.4; charset=utf-8").send(await control.metrics()),
  );
  server.get("/openapi.json", { schema: { ...open, hide: true } }, async () => server.swagger());
}

/** The key first, then the role: an unknown caller learns nothing of the routes. */
function requireOperator({ operators, nowMs, logChange }: AdminContext) {
  const attempts = createFailedAttempts();
  return async (request: FastifyRequest, reply: Parameters<typeof sendProblem>[0]) => {
    const key = BEARER.exec(request.headers.authorization ?? "")?.[1];
    const operator = key === undefined ? undefined : operators.authenticate(key);
    if (operator === undefined) {
      const peer = request.socket.remoteAddress ?? "";
      reply.header("www-authenticate", 'Bearer realm="cordon"');
      // A valid key is never locked out: whoever can fail from this address could else keep the SOC from a block.
      if (key !== undefined && attempts.failed(peer, nowMs())) {
        reply.header("retry-after", attempts.retryAfterS(peer, nowMs()));
        return sendProblem(reply, { status: 429, code: "too_many_attempts", detail: "Wait, then use the right key." });
      }
      const detail =
        "Send `Authorization: Bearer <operator key>`; the first key is in operator.key in the data folder.";
      return sendProblem(reply, { status: 401, code: "operator_key_needed", detail });
    }
    request.operator = operator;
    const permission: Permission | undefined = request.routeOptions.config.permission;
    // Nothing was found: the handler that says so is next.
    if (request.is404) return undefined;
    if (permission !== undefined && may(operator.role, permission)) return undefined;
    if (permission !== "read") {
      const action = `${request.method} ${request.routeOptions.url ?? ""}`;
      logChange({
        operator: operator.name,
        role: operator.role,
        action,
        target: request.url.slice(0, DENIED_TARGET_CHARS_MAX),
        reason: "",
        outcome: "denied",
      });
    }
    const detail = `The role ${operator.role} does not allow this.`;
    return sendProblem(reply, { status: 403, code: "role_refused", detail });
  };
}

/** JSON and nothing else; an empty body is an empty object, which the route's schema judges. */
function readJsonOnly(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser("error", "error");
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<string>("application/json", { parseAs: "string" }, (request, body, done) => {
    request.rawJson = body;
    if (body === "") done(null, {});
    else void parse(request, body, done);
  });
}

/** Which methods a path has, for the 405 that fastify does not make by itself. */
function rememberRoutes(server: FastifyInstance): (url: string) => string[] {
  const routes: { pattern: RegExp; method: string }[] = [];
  server.addHook("onRoute", ({ url, method }) => {
    const pattern = new RegExp(`^${url.replaceAll(".", "\\.").replaceAll(/:[a-z]+/g, "[^/]+")}$`);
    for (const one of [method].flat()) routes.push({ pattern, method: one });
  });
  return (url) => {
    const path = url.split("?", 1)[0] ?? "";
    return [...new Set(routes.filter((route) => route.pattern.test(path)).map((route) => route.method))];
  };
}

function problemOf(error: FastifyError): Problem {
  if (error.validation !== undefined) {
    const where = error.validationContext ?? "request";
    const errors = error.validation.map(
      ({ instancePath, message }) => `${where}${instancePath.replaceAll("/", ".")}: ${message ?? "is not valid"}`,
    );
    return invalidRequest(errors);
  }
  const status = error.statusCode ?? 500;
  if (status === 413) return { status, code: "body_too_large", detail: "The body is larger than this route reads." };
  if (status === 415)
    return { status, code: "unsupported_media_type", detail: "Send `Content-Type: application/json`." };
  if (status >= 400 && status < 500) return { status: 400, code: "invalid_request", detail: error.message };
  const id = randomUUID();
  return {
    status: 500,
    code: "internal_error",
    detail: "The gateway failed; its log holds the cause under this id.",
    id,
  };
}

/** What the HTTP parser refuses never becomes a request. */
function refuseMalformed(_error: Error, socket: Socket): void {
  if (!socket.writable) return void socket.destroy();
  const body = JSON.stringify(
    problemDocument({ status: 400, code: "bad_request", detail: "This is not a well-formed HTTP request." }),
  );
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\nconnection: close\r\n\r\n${body}`);
}

function openApi(version: string) {
  return {
    openapi: "3.1.0",
    info: {
      title: "Cordon operators' API",
      version,
      description: "Status, policy, containment, the issuer and operators.",
    },
    components: { securitySchemes: { operator: { type: "http" as const, scheme: "bearer" } } },
    security: [{ operator: [] }],
  };
}
