// `cordon agent -- COMMAND` as a process of its own: real issuer, real gateway, real curl.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { decodeJwt } from "jose";
import { assertClient } from "../../src/agent/client-assertion.ts";
import { APPLICATION } from "../fixtures/agent-broker.ts";
import { type AgentGateway, CANDIDATE, startAgentGateway } from "../fixtures/agent-gateway.ts";
import { type CliProcess, startCli } from "../fixtures/cli-process.ts";

const LIMIT = { timeout: 60_000 };
const TOKEN_MS = 300_000;
const FETCH = `curl --silent --show-error --max-time 30 --write-out '%{http_code}' "$CORDON_BASE_URL${CANDIDATE}"`;

describe("cordon agent", () => {
  let stage: AgentGateway;
  let folder: string;
  const ending: (() => Promise<void>)[] = [];
  const running = new Set<CliProcess>();

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-agent-command-"));
    stage = await startAgentGateway({ after: (end) => void ending.push(end) });
  });
  after(async () => {
    for (const { child } of running) child.kill("SIGKILL");
    for (const end of ending) await end();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(args: readonly string[], env: NodeJS.ProcessEnv = {}, through: readonly string[] = []): CliProcess {
    const cli = startCli(["agent", ...args], { CORDON_ISSUER: stage.issuer, ...env }, undefined, through);
    running.add(cli);
    void cli.exited.then(() => running.delete(cli));
    return cli;
  }

  let files = 0;
  function tokenFile(text: string, mode = 0o600): string {
    const file = path.join(folder, `token-${files++}`);
    writeFileSync(file, `${text}\n`, { mode });
    return file;
  }

  async function introspect(token: string): Promise<Record<string, unknown>> {
    const client = { issuer: stage.issuer, clientId: APPLICATION, key: stage.orchestratorKey };
    const body = new URLSearchParams({ token, ...assertClient(client) });
    return (await (await fetch(`${stage.issuer}/introspect`, { method: "POST", body })).json()) as Record<
      string,
      unknown
    >;
  }

  /** A new agent for each program. */
  async function run(script: string, ...args: string[]): Promise<CliProcess> {
    return start(["--launch-token-file", tokenFile(await stage.launch()), ...args, "--", "sh", "-c", script]);
  }

  test(
    "an unmodified curl reads through the gateway, and finds neither key nor token where it runs",
    LIMIT,
    async () => {
      const launchToken = await stage.launch();
      const look = "tr '\\0' '\\n' < /proc/self/environ; cat /proc/$PPID/cmdline; tr '\\0' ' ' < /proc/self/cmdline";
      const cli = start(["--", "sh", "-c", `${FETCH}; echo; ${look}`], { CORDON_LAUNCH_TOKEN: launchToken });
      assert.equal(await cli.exited, 0, cli.stderr());
      const [answer = ""] = cli.stdout().split("\n", 1);
      assert.match(answer, /^\{.*\}200$/);
      assert.ok(!cli.stdout().includes(launchToken));
      assert.ok(!cli.stdout().includes("eyJ"), "no token and no proof");
      assert.doesNotMatch(cli.stdout(), /PRIVATE KEY|"d":|CORDON_LAUNCH_TOKEN=/);
      assert.match(cli.stdout(), /^CORDON_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/[A-Za-z0-9_-]{43}$/m);
      assert.match(cli.stderr(), /a file descriptor is better/, "the environment is the weakest way, and that is said");
      const seen = stage.g.tool.seen.at(-1);
      assert.equal(seen?.headers["authorization"], undefined);
    },
  );

  test("a launch token by file descriptor, or by a file that is removed", LIMIT, async () => {
    const file = tokenFile(await stage.launch());
    const through = ["bash", "-c", 'exec "$0" "$@" 3<"$TOKEN_FILE"'];
    const byDescriptor = start(["--launch-token-fd", "3", "--", "sh", "-c", FETCH], { TOKEN_FILE: file }, through);
    assert.equal(await byDescriptor.exited, 0, byDescriptor.stderr());
    assert.match(byDescriptor.stdout(), /200$/);

    const other = tokenFile(await stage.launch());
    const byFile = start(["--launch-token-file", other, "--", "sh", "-c", FETCH]);
    assert.equal(await byFile.exited, 0, byFile.stderr());
    assert.match(byFile.stdout(), /200$/);
    assert.ok(!existsSync(other));
  });

  test("a launch token by standard input leaves the program no descriptor of the sidecar", LIMIT, async () => {
    const file = tokenFile(await stage.launch());
    const through = ["bash", "-c", 'exec "$0" "$@" <"$TOKEN_FILE"'];
    const look = ["readlink", "/proc/self/fd/0"];
    const cli = start(["--launch-token-fd", "0", "--", ...look], { TOKEN_FILE: file }, through);
    assert.equal(await cli.exited, 0, cli.stderr());
    assert.equal(cli.stdout(), "/dev/null\n", "and not the lowest number's next owner: a socket to the issuer");
  });

  test(
    "a file that others may read, a link, two sources or none are refused before the token is used",
    LIMIT,
    async () => {
      const launchToken = await stage.launch();
      const open = tokenFile(launchToken, 0o644);
      const link = path.join(folder, "link");
      symlinkSync(tokenFile(launchToken), link);
      for (const [args, env, message] of [
        [["--launch-token-file", open], {}, /can be read by others/],
        [["--launch-token-file", link], {}, /cannot be read/],
        [["--launch-token-file", open], { CORDON_LAUNCH_TOKEN: launchToken }, /there are several/],
        [[], {}, /there is none/],
        [["--launch-token-fd", "9"], {}, /file descriptor 9/],
        [["--launch-token-fd", "1"], {}, /such as 3/],
      ] as const) {
        const cli = start([...args, "--", "true"], env);
        assert.equal(await cli.exited, 2, cli.stderr());
        assert.match(cli.stderr(), message);
        assert.ok(!cli.stderr().includes(launchToken));
      }
      assert.ok(existsSync(open));
      const cli = start(["--", "true"], { CORDON_LAUNCH_TOKEN: launchToken });
      assert.equal(await cli.exited, 0, cli.stderr());
    },
  );

  test("a launch token that was used before starts nothing, and the reason says what to do", LIMIT, async () => {
    const launchToken = await stage.launch();
    const first = start(["--", "true"], { CORDON_LAUNCH_TOKEN: launchToken });
    assert.equal(await first.exited, 0, first.stderr());
    const second = start(["--", "echo", "started"], { CORDON_LAUNCH_TOKEN: launchToken });
    assert.equal(await second.exited, 125);
    assert.match(second.stderr(), /used before.*tell security/);
    assert.equal(second.stdout(), "");
  });

  test("the program's exit code is passed on, and so is the signal that ended it", LIMIT, async () => {
    for (const [script, code] of [
      ["exit 7", 7],
      ["kill -KILL $$", 137],
    ] as const) {
      assert.equal(await (await run(script)).exited, code);
    }
    const missing = start(["--", "no-such-program"], { CORDON_LAUNCH_TOKEN: await stage.launch() });
    assert.equal(await missing.exited, 127);
    const folderAsProgram = start(["--", folder], { CORDON_LAUNCH_TOKEN: await stage.launch() });
    assert.equal(await folderAsProgram.exited, 126);
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"] as const) {
    test(`${signal} reaches the program, which decides itself when and how it ends`, LIMIT, async () => {
      const handler = `process.once("${signal}", () => { console.log("got"); process.exitCode = 9; clearInterval(timer) });`;
      const program = `const timer = setInterval(() => {}, 1000); ${handler} console.log("ready")`;
      const launched = { CORDON_LAUNCH_TOKEN: await stage.launch() };
      const cli = start(["--", process.execPath, "--eval", program], launched);
      await cli.printed("ready");
      cli.child.kill(signal);
      assert.equal(await cli.exited, 9, cli.stderr());
      assert.match(cli.stdout(), /got/);
      // Node would answer SIGUSR1 with a debugger, in which the key could be read.
      assert.doesNotMatch(cli.stderr(), /[Dd]ebugger/);
    });
  }

  /** The sidecar shows its token to nobody: what the issuer answers is written down inside of its process. */
  function recordTokens(): { readonly option: string; readonly read: () => string } {
    const name = `recorder-${files++}`;
    const [module, tokens] = [path.join(folder, `${name}.mjs`), path.join(folder, name)];
    const source = `import { appendFileSync } from "node:fs";
      const send = fetch;
      globalThis.fetch = async (url, init) => {
        const answer = await send(url, init);
        const { access_token: token } = await answer.clone().json().catch(() => ({}));
        if (token !== undefined) appendFileSync(${JSON.stringify(tokens)}, token);
        return answer;
      };`;
    writeFileSync(module, source);
    return { option: `--import ${module}`, read: () => readFileSync(tokens, "utf8") };
  }

  test("when the program ends the agent is released: the issuer knows its token no more", LIMIT, async () => {
    const recorder = recordTokens();
    const env = { CORDON_LAUNCH_TOKEN: await stage.launch(), NODE_OPTIONS: recorder.option };
    const fifo = path.join(folder, "fifo");
    assert.equal(spawnSync("mkfifo", [fifo]).status, 0);
    const cli = start(["--", "sh", "-c", 'echo ready; read -r go < "$0"', fifo], env);
    await cli.printed("ready");
    const accessToken = recorder.read();
    assert.equal((await introspect(accessToken))["active"], true);
    writeFileSync(fifo, "go\n");
    assert.equal(await cli.exited, 0, cli.stderr());
    assert.deepEqual(await introspect(accessToken), { active: false });
    assert.ok(stage.g.log.some((line) => line.includes("revoked") && line.includes(decodeJwt(accessToken).sub ?? "?")));
  });

  test(
    "a program whose agent was revoked is told so at the renewal, is stopped, and the exit code says it",
    LIMIT,
    async () => {
      const recorder = recordTokens();
      const clock = path.join(folder, "clock");
      writeFileSync(clock, "0");
      const stepped = new URL("../fixtures/stepped-clock.ts", import.meta.url).href;
      const env = {
        CORDON_LAUNCH_TOKEN: await stage.launch(),
        CORDON_TEST_WALL_CLOCK: clock,
        NODE_OPTIONS: `${recorder.option} --import ${stepped}`,
      };
      const cli = start(["--", "sh", "-c", `${FETCH}; echo; while :; do ${FETCH} >/dev/null; done`], env);
      await cli.printed("200");
      const body = new URLSearchParams({ token: recorder.read(), client_id: `${APPLICATION}.agents` });
      assert.equal((await fetch(`${stage.issuer}/revoke`, { method: "POST", body })).status, 200);
      // Its next call finds the token old enough to be renewed.
      writeFileSync(clock, String(TOKEN_MS - 2000));
      await cli.printed("its program is stopped");
      assert.equal(await cli.exited, 124, cli.stderr());
      assert.match(cli.stderr(), /was revoked/);
    },
  );

  test("a program that knows another variable gets the base URL there, with a path behind it", LIMIT, async () => {
    const script = 'test "$OPENAI_BASE_URL" = "$CORDON_BASE_URL/v1" && test "$ATS" = "$CORDON_BASE_URL"';
    const cli = await run(script, "--base-url-in", "OPENAI_BASE_URL=/v1", "--base-url-in", "ATS");
    assert.equal(await cli.exited, 0, cli.stderr());
  });

  test("the agent can ask for less than it was launched for, and then has less", LIMIT, async () => {
    const cli = await run(FETCH, "--scope", "write:scores:J42");
    assert.equal(await cli.exited, 0, cli.stderr());
    assert.match(cli.stdout(), /403$/);
  });

  test("the help teaches: where the token comes from, what the program sees, and every exit code", () => {
    const { stdout, status } = spawnSync(process.execPath, ["src/cli/main.ts", "agent", "--help"], {
      encoding: "utf8",
    });
    assert.equal(status, 0);
    for (const word of [
      "CORDON_BASE_URL",
      "--launch-token-fd",
      "--launch-token-file",
      "CONNECT",
      "124",
      "125",
      "Examples",
    ]) {
      assert.ok(stdout.includes(word), word);
    }
  });
});
