// H25: the wall clock of a running gateway is stepped, as by NTP, an administrator or a bad time server. Its verdicts are
// those of the time that it carries forward itself; it says so, and what was spent before stays spent.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";
import { calculateJwkThumbprint, exportJWK, SignJWT } from "jose";
import { createDpopProof } from "../../src/agent/create-dpop-proof.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { readKeyFile } from "../../src/agent/quickstart-keys.ts";
import { startCli } from "../fixtures/cli-process.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { type GatewayProcess, prepareGateway, type PreparedGateway } from "../fixtures/gateway-process.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { bothIssuers } from "../fixtures/both-issuers.ts";
import { CLIENT_ID } from "../fixtures/test-broker.ts";
import { call, type CallAnswer, readLines, type TestAgent } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 110_000 };
const MINUTE_MS = 60_000;
const STEPS_MS = [5 * MINUTE_MS, -5 * MINUTE_MS, 60 * MINUTE_MS, -60 * MINUTE_MS];
const PATH = "/ats/jobs/J42/candidates/C1";

interface Stepped extends PreparedGateway {
  readonly issuer: string;
  /** Starts a process whose wall clock is off by `ms`, and may be stepped. */
  startAt(ms: number, data?: string): Promise<GatewayProcess>;
  step(ms: number): void;
}

async function prepare(t: TestContext): Promise<Stepped> {
  const issuerPort = await freePort();
  const issuer = `http://127.0.0.1:${issuerPort}`;
  const prepared = await prepareGateway(({ folder, port, toolUrl }) => {
    const upstream = { url: toolUrl, strip_prefix: "/ats", allow_private_addresses: true };
    return {
      threads: 2,
      ...bothIssuers({ folder, port, issuerPort, moreOfJwks: { cooldown_s: 1 } }),
      routes: [
        {
          name: "candidate",
          path: "/ats/jobs/{job_id}/candidates/{candidate_id}",
          methods: ["GET"],
          resource: { type: "candidate_profiles", classification: "interview_safe" },
          upstream,
        },
        toolRoute("events", toolUrl),
      ],
    };
  });
  t.after(() => prepared.close());
  const file = path.join(prepared.g.folder, "wall-clock");
  const env = {
    CORDON_TEST_WALL_CLOCK: file,
    NODE_OPTIONS: `--import ${new URL("../fixtures/stepped-clock.ts", import.meta.url).href}`,
  };
  const step = (ms: number): void => {
    // Renamed into its place: a reader meets the old time or the new one.
    writeFileSync(`${file}.new`, String(ms));
    renameSync(`${file}.new`, file);
  };
  return {
    ...prepared,
    issuer,
    step,
    startAt(ms, data) {
      step(ms);
      return prepared.start({ env, ...(data === undefined ? {} : { data }) });
    },
  };
}

/** A proof dated `offsetS` seconds from now, by the true time of its maker. */
async function datedCall(agent: TestAgent, url: string, offsetS: number): Promise<CallAnswer> {
  const jwk = await exportJWK(agent.keys.publicKey);
  assert.equal(await calculateJwkThumbprint(jwk), agent.thumbprint);
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(agent.token));
  const ath = Buffer.from(hash).toString("base64url");
  const dpop = await new SignJWT({ jti: randomUUID(), htm: "GET", htu: url, ath })
    .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk })
    .setIssuedAt(Math.floor(Date.now() / 1000) + offsetS)
    .sign(agent.keys.privateKey);
  return call(url, { headers: { authorization: `DPoP ${agent.token}`, dpop } });
}

async function reasonOf(running: GatewayProcess, answer: CallAnswer): Promise<unknown> {
  for (;;) {
    const lines = readLines(path.join(running.data, "logs", "access.jsonl"));
    const mine = lines.find((line) => line["request_id"] === answer.headers["x-cordon-request-id"]);
    if (mine !== undefined) return mine["reason"];
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function driftOf(running: GatewayProcess): Promise<number> {
  const status = await running.operate("GET", "/v1/status");
  return status.json<{ clock_drift_ms: number }>().clock_drift_ms;
}

/** Fails where it is told more often than that; what never comes fails by the test's time limit. */
async function toldTimes(running: GatewayProcess, text: string, times: number): Promise<void> {
  for (;;) {
    const told = running.stderr().split(text).length - 1;
    if (told >= times) {
      assert.equal(told, times, text);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function isAbout(ms: number, expectedMs: number): void {
  assert.ok(Math.abs(ms - expectedMs) < 2000, `${ms}, not about ${expectedMs}`);
}

describe("H25 a stepped wall clock", { concurrency: true }, () => {
  test(
    "H25 verdicts of gateway and issuer stay the same, whichever way the wall clock is stepped",
    LIMIT,
    async (t) => {
      const { g, issuer, startAt, step } = await prepare(t);
      const running = await startAt(0);
      const plainAnswer = g.tool.answer;
      g.tool.answer = (asked, response, body) => {
        if (!(asked.url ?? "").startsWith("/events/")) {
          plainAnswer(asked, response, body);
          return;
        }
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: one\n\n");
      };
      const url = g.url + PATH;
      const agent = await g.agent();
      const expired = await g.agent({ lifetimeS: -90 });
      const spent = await agent.headers(url);
      assert.equal((await call(url, { headers: spent })).status, 200);
      const events = `${g.url}/events/1`;
      const asked = request(events, { headers: await agent.headers(events), agent: false });
      asked.end();
      const [stream] = (await once(asked, "response")) as [IncomingMessage];
      let streamEnded = false;
      stream.resume().once("close", () => (streamEnded = true));
      const clientKey = readKeyFile(path.join(g.folder, "agent", `${CLIENT_ID}.jwk`));

      for (const [index, ms] of STEPS_MS.entries()) {
        step(ms);
        for (const [offsetS, reason] of [
          [0, ""],
          [3, ""],
          [-70, "proof.too_old"],
          [12, "proof.from_the_future"],
        ] as const) {
          const answer = await datedCall(agent, url, offsetS);
          assert.equal(answer.status, reason === "" ? 200 : 401, `a proof of ${offsetS} s after a step of ${ms} ms`);
          assert.equal(await reasonOf(running, answer), reason);
        }
        const again = await call(url, { headers: spent });
        assert.equal(again.status, 401);
        assert.equal(await reasonOf(running, again), "proof.replayed");
        assert.equal(await reasonOf(running, await expired.call(url)), "token.expired");

        const key = createKey();
        const { accessToken } = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key });
        const dpop = createDpopProof({ key, method: "GET", url, accessToken });
        const issued = await call(url, { headers: { authorization: `DPoP ${accessToken}`, dpop } });
        assert.equal(issued.status, 200, `a token of the embedded issuer: ${String(await reasonOf(running, issued))}`);

        // It is told, once: in the log, in the status and as a metric. It still serves, so it is ready.
        await toldTimes(running, "the wall clock was set", index + 1);
        isAbout(await driftOf(running), ms);
        const { text } = await call(`${running.control}/metrics`);
        isAbout(Number(/^cordon_clock_drift_seconds (\S+)$/m.exec(text)?.[1]) * 1000, ms);
        assert.equal((await call(`${running.control}/readyz`)).status, 200);
        assert.equal(streamEnded, false, "an open stream is not cut by a step");
        step(0);
        await toldTimes(running, "the wall clock agrees again", index + 1);
      }
      asked.on("error", () => undefined).destroy();
      await running.stop();
    },
  );

  test("H25 a clock that was wrong at the start stays wrong until a restart, and says so", LIMIT, async (t) => {
    const { g, startAt, step } = await prepare(t);
    const running = await startAt(-60 * MINUTE_MS);
    const agent = await g.agent();
    const early = await agent.call(g.url + PATH);
    assert.equal(early.status, 401);
    step(0);
    await running.printed("the wall clock was set");
    isAbout(await driftOf(running), 60 * MINUTE_MS);
    assert.equal((await agent.call(g.url + PATH)).status, 401, "no step is followed");
    await running.stop();
    const again = await startAt(0, running.data);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    await again.stop();
  });

  test(
    "H25 a restart after the wall clock was set back serves nobody until no spent proof can be fresh",
    LIMIT,
    async (t) => {
      const { g, startAt, step } = await prepare(t);
      const running = await startAt(0);
      const agent = await g.agent();
      const spent = await agent.headers(g.url + PATH);
      assert.equal((await call(g.url + PATH, { headers: spent })).status, 200);
      await running.kill();
      step(-5 * MINUTE_MS);
      const env = {
        CORDON_TEST_WALL_CLOCK: path.join(g.folder, "wall-clock"),
        NODE_OPTIONS: `--import ${new URL("../fixtures/stepped-clock.ts", import.meta.url).href}`,
        CORDON_DATA_FOLDER: running.data,
        CORDON_CONTROL_PORT: String(await freePort()),
      };
      const waiting = startCli(["start", "--config", path.join(g.folder, "cordon.yaml")], env);
      await waiting.printed("waiting, so that no proof from before the restart is accepted again");
      const ms = Number(/"ms":(\d+)/.exec(waiting.stderr())?.[1]);
      assert.ok(ms > 5 * MINUTE_MS && ms < 6 * MINUTE_MS, `${ms} ms`);
      await assert.rejects(call(g.url + PATH, { headers: spent }), { code: "ECONNREFUSED" });
      waiting.child.kill("SIGKILL");
      await waiting.exited;
      const again = await startAt(0, running.data);
      assert.equal((await call(g.url + PATH, { headers: spent })).status, 401);
      assert.equal((await agent.call(g.url + PATH)).status, 200);
      await again.stop();
    },
  );
});
