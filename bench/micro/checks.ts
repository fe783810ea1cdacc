// In: a temporary folder. Out: each step of an exchange as a function of its own, on the real code and real values.
// The values are those of the rows under load: the same tokens, policy, route and answer of the tool.
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { buildInput, createRouteInput } from "../../src/action/build-input.ts";
import { checkHeaders } from "../../src/action/check-headers.ts";
import { createRouteTable } from "../../src/action/match-route.ts";
import { parseTarget, type Target } from "../../src/action/parse-target.ts";
import { parsePathTemplate } from "../../src/action/path-template.ts";
import { createRecorder } from "../../src/audit/create-recorder.ts";
import { startAuditWriter } from "../../src/audit/start-audit-writer.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import type { Result } from "../../src/lib/result.ts";
import { createEvaluator } from "../../src/policy/evaluator.ts";
import { parseBundle } from "../../src/policy/parse-bundle.ts";
import { createKeySet } from "../../src/token/key-set.ts";
import { createProofVerifier, type ProofVerifier } from "../../src/token/proof-verifier.ts";
import { checkPublicJwk, importPublicKey } from "../../src/lib/public-key.ts";
import { attachReplayTable, createReplayTable } from "../../src/token/replay-table.ts";
import { createSignatureVerifier } from "../../src/lib/signature-verifier.ts";
import { createTokenVerifier } from "../../src/token/token-verifier.ts";
import { BodyHash } from "../../src/upstream/body-hash.ts";
import { requestHeaders, responseHeaders } from "../../src/upstream/header-rules.ts";
import { redactJson } from "../../src/upstream/redact-json.ts";
import { createIssuer, ISSUER, signJws } from "../load/agents.ts";
import { BATCHED_PATH, writeGatewayConfig } from "../load/gateway-config.ts";
import { TOOL_ANSWER } from "../load/upstream.ts";
import type { Measured } from "./cpu-per-call.ts";
import { createLogChecks } from "./log-checks.ts";

const PORTS = { traffic: 18_080, tls: 18_443, upstream: 18_090 };
const AGENTS = 16;
/** Signed once and verified in each sample with an empty replay table. */
const PROOFS = 512;
const LARGE_INPUT_BYTES = 65_536;
/** Each leaves two records in a queue that is written when the sample ends. */
const AUDIT_CALLS_MAX = 4000;

export interface Checks {
  readonly checks: ReadonlyMap<string, Measured>;
  close(): Promise<void>;
}

function must<T>(result: Result<T, unknown>): T {
  if (!result.ok) throw new Error(`the bench's own value is refused: ${JSON.stringify(result.error)}`);
  return result.value;
}

export async function createChecks(folder: string): Promise<Checks> {
  const issuer = createIssuer();
  const file = writeGatewayConfig({ folder, ports: PORTS, threads: 1, jwks: issuer.jwks, tls: undefined });
  const { config } = must(loadConfig(file, {}));
  const route = config.routes[0];
  if (route === undefined) throw new Error("no route");
  const origin = config.public_origins[0] ?? "";
  const host = new URL(origin).host;
  const htu = `${origin}${BATCHED_PATH}`;
  const agents = Array.from({ length: AGENTS }, () => issuer.agent(origin));
  const nowMs = Date.now();

  const tokens = createTokenVerifier({
    issuers: config.issuers,
    keySets: new Map([[ISSUER, createKeySet({ jwks: issuer.jwks })]]),
    limits: config.limits,
  });
  const verified = await Promise.all(agents.map(async ({ token }) => must(await tokens.verify(token, nowMs))));

  const iat = Math.floor(nowMs / 1000);
  const proofs = Array.from({ length: PROOFS }, (_, index) => {
    const agent = agents[index % AGENTS] as (typeof agents)[number];
    const payload = { jti: `micro-${index}-0123456789abcdef`, htm: "GET", htu, iat, ath: agent.tokenHash };
    const input = `${agent.proofHeader}.${Buffer.from(JSON.stringify(payload)).toString("base64url")}`;
    return signJws(input, agent.privateKey);
  });
  const expected = verified.map(({ tokenHash, confirmation }) => ({
    method: "GET",
    htu,
    ath: tokenHash,
    jkt: confirmation.jkt ?? "",
  }));
  let proofVerifier: ProofVerifier | undefined;
  const freshProofVerifier = (): void => {
    const shared = createReplayTable({
      slots: 65_536,
      maxAgeMs: config.proof.max_age_s * 1000,
      maxAheadMs: config.proof.max_ahead_s * 1000,
      nowMs,
    });
    const replay = attachReplayTable(shared, Buffer.alloc(32, 7));
    proofVerifier = createProofVerifier({
      proof: config.proof,
      replay,
      startedAtMs: 0,
      keyCacheEntries: config.limits.token_cache_entries,
    });
  };
  const verifyProof = (index: number): unknown =>
    must(
      (proofVerifier as ProofVerifier).verify(
        proofs[index % PROOFS] as string,
        expected[index % AGENTS] as (typeof expected)[number],
        nowMs,
      ),
    );

  const signatures = agents.map(({ privateKey }, index) => {
    const jwk = createPublicKey(privateKey).export({ format: "jwk" });
    const key = must(importPublicKey(must(checkPublicJwk(jwk))));
    const verify = createSignatureVerifier(key, "ES256");
    const [header, payload, signature] = (proofs[index] as string).split(".");
    const input = Buffer.from(`${header}.${payload}`, "latin1");
    return { verify, input, signature: Buffer.from(signature ?? "", "base64url") };
  });

  const rawHeaders = ["Host", host, "Authorization", `DPoP ${agents[0]?.token}`, "DPoP", proofs[0] as string];
  const routes = createRouteTable([{ route: "candidate", template: must(parsePathTemplate(route.path)) }]);
  const target: Target = must(parseTarget(BATCHED_PATH, host));
  const always = (): boolean => true;
  const params = routes.find(target.segments, always, always)?.params ?? {};
  const agent = (verified[0] as (typeof verified)[number]).agentFor("dpop");
  const inputParts = {
    claimsJson: agent.claimsJson,
    route: createRouteInput(route),
    method: "GET",
    bodyText: null,
    target,
    params,
    host,
    timeMs: nowMs,
    sourceIp: "127.0.0.1",
    gateway: config.gateway,
  };
  const evaluator = createShippedEvaluator(config.policy.memory_pages_max);
  const input = buildInput(inputParts);
  const large = largeInput(inputParts);
  if (!must(evaluator.decide(input, nowMs)).allow || !must(evaluator.decide(large, nowMs)).allow) {
    throw new Error("the shipped policy denies what the bench asks");
  }

  const logs = createLogChecks(folder, { agent, config, route, input: inputParts, nowMs });
  const audit = await startAuditWriter({
    file: path.join(folder, "audit.jsonl"),
    commitIntervalMs: config.audit.commit_interval_ms,
    onFault: () => undefined,
    onRecovered: () => undefined,
  });
  const recorder = createRecorder(audit.connect(), { queueEventsMax: AUDIT_CALLS_MAX * 4 });

  const identity = logs.identityHeaders;
  const answerBytes = Buffer.from(TOOL_ANSWER);
  const answerHeaders = { server: "nginx", date: "x", "content-type": "application/json", "content-length": "220" };
  const checks = new Map<string, Measured>([
    [
      "headers-and-target",
      {
        call: () => {
          const head = must(checkHeaders(rawHeaders, config.limits.headers_max));
          return routes.find(must(parseTarget(BATCHED_PATH, head.host)).segments, always, always);
        },
      },
    ],
    [
      "token-cached",
      { call: (index) => tokens.verify((agents[index % AGENTS] as (typeof agents)[number]).token, nowMs) },
    ],
    ["proof", { call: verifyProof, prepare: freshProofVerifier, callsMax: PROOFS }],
    [
      "signature",
      {
        call: (index) => {
          const one = signatures[index % AGENTS] as (typeof signatures)[number];
          if (one.verify?.(one.input, one.signature) !== true) throw new Error("a good signature is refused");
        },
      },
    ],
    ["policy-input", { call: () => buildInput(inputParts) }],
    ["policy", { call: () => evaluator.decide(input, nowMs) }],
    ["policy-large", { call: () => evaluator.decide(large, nowMs) }],
    ["decision-line", logs.decision],
    ["access-line", logs.access],
    [
      "audit-records",
      {
        call: () => {
          must(recorder.recordIntent(logs.intent(), "batched") as Result<void, unknown>);
          recorder.record(logs.outcome());
        },
        settle: () => recorder.flush(),
        callsMax: AUDIT_CALLS_MAX,
      },
    ],
    [
      "header-rules",
      {
        call: () => {
          requestHeaders(rawHeaders, identity, true);
          return responseHeaders(answerHeaders, [["x-cordon-request-id", "r"]], true);
        },
      },
    ],
    [
      "redaction",
      {
        call: () => {
          const hash = new BodyHash();
          hash.add(answerBytes);
          hash.hex();
          return redactJson(answerBytes, ["/salary"]);
        },
      },
    ],
  ]);
  return {
    checks,
    async close() {
      await recorder.close();
      await audit.close();
      await logs.close();
    },
  };
}

function createShippedEvaluator(memoryPagesMax: number) {
  const bundle = must(parseBundle(readFileSync(new URL("../../policies/bundle.tar.gz", import.meta.url))));
  return createEvaluator({ module: new WebAssembly.Module(bundle.wasm), dataJson: bundle.dataJson, memoryPagesMax });
}

/** A score for the same job with a long list of remarks: the whole input is 64 KiB. */
function largeInput(parts: Parameters<typeof buildInput>[0]): string {
  const scores = { type: "candidate_scores", classification: "interview_safe", owner: "people", attributes: {} };
  const withBody = (remarks: readonly string[]): string =>
    buildInput({
      ...parts,
      route: createRouteInput({ name: "score", resource: scores }),
      method: "POST",
      bodyText: JSON.stringify({ score: 71, remarks }),
    });
  const remarks: string[] = [];
  const remark = "answered the question about transactions with an example of their own";
  const missing = LARGE_INPUT_BYTES - withBody([]).length;
  while (remarks.length * (remark.length + 3) < missing) remarks.push(remark);
  return withBody(remarks);
}
