// `cordon verify token`, as it is run: the real command, real files, standard input, and its exit code.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import { delegatedClaims, makeChain, type TestChain } from "../fixtures/delegation.ts";
import { ISSUER, JWKS, makeKey, makeToken, NOW_MS, NOW_S } from "../unit/token/token-fixtures.ts";

const AT = new Date(NOW_MS).toISOString();
const NARROWED = { scope: ["read:candidates:J42"], constraints: { job_id: "J42", amount: { max: 10 } } };

describe("cordon verify token", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-verify-"));
    writeFileSync(path.join(folder, "jwks.json"), JSON.stringify(JWKS));
  });
  after(() => rmSync(folder, { recursive: true }));

  function verify(token: string, args: readonly string[] = ["--at", AT], jwks = "jwks.json") {
    writeFileSync(path.join(folder, "token"), `${token}\n`);
    return run([path.join(folder, "token"), "--jwks", path.join(folder, jwks), ...args]);
  }
  function run(args: readonly string[], input = "") {
    const main = path.join(packageRoot(), "src", "cli", "main.ts");
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, "verify", "token", ...args], {
      input,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  }
  const tokenOf = (chain: TestChain, change: object = {}) => makeToken({ ...delegatedClaims(chain), ...change });

  test("prints the lineage as a tree, from the principal to the last delegate, each with what it may do", () => {
    const chain = makeChain(2, { 2: NARROWED });
    const { status, stdout } = verify(tokenOf(chain));
    assert.equal(status, 0, stdout);
    const [first, principal, ...tree] = stdout.trimEnd().split("\n");
    assert.equal(first, `valid at ${AT}: token token-1 of ${ISSUER.issuer}, until 2027-01-15T08:04:50.000Z`);
    assert.equal(principal, "user recruiter_alice (https://issuer.example)");
    const [one, two] = chain.hops.map(({ payload }) => payload);
    assert.deepEqual(
      tree.filter((line) => line.includes("└─")),
      [`└─ ${chain.root.id}`, `   └─ ${one?.sub}`, `      └─ ${two?.sub}`],
    );
    assert.deepEqual(tree.slice(-9, -1), [
      `      └─ ${two?.sub}`,
      "         purpose      rank a part of the candidates",
      "         delegated    2027-01-15T08:00:01.000Z",
      "         scope        read:candidates:J42",
      '         details      [{"type":"ranking","actions":["read","score"],"limit":{"max":100}}]',
      '         constraints  {"job_id":"J42","amount":{"max":10}}',
      "         until        2027-01-15T08:59:40.000Z",
      `         key          ${two?.delegate_jkt}`,
    ]);
    assert.match(tree.at(-1) ?? "", /Not seen offline/);
  });

  test("gives the same as JSON, also from standard input and for a token without delegation", () => {
    const chain = makeChain(5);
    const jwks = path.join(folder, "jwks.json");
    const { status, stdout } = run(["-", "--jwks", jwks, "--at", AT, "--json"], `${tokenOf(chain)}\r\n`);
    assert.equal(status, 0, stdout);
    const report = JSON.parse(stdout) as Report;
    assert.equal(report.valid, true);
    assert.deepEqual(
      report.lineage.map(({ id, key_thumbprint: key, depth }) => [id, key, depth]),
      [
        [chain.root.id, chain.root.jkt, 0],
        ...chain.hops.map(({ payload }) => [payload.sub, payload.delegate_jkt, payload.depth]),
      ],
    );
    const alone = verify(makeToken(), ["--at", AT, "--json"]);
    const { lineage } = JSON.parse(alone.stdout) as Report;
    assert.deepEqual([alone.status, lineage.length, lineage[0]?.scope], [0, 1, ["read:candidates:J42"]]);
  });

  test("says what fails, and of a broken chain what still holds before the break", () => {
    const cases: readonly (readonly [string, string, string[]?])[] = [
      ["token.expired", makeToken({ iat: 1000, exp: 1300 }), []],
      ["token.expired", tokenOf(makeChain(1)), ["--at", new Date(NOW_MS + 290_000).toISOString()]],
      ["token.not_yet_valid", makeToken(), ["--at", new Date(NOW_MS - 11_000).toISOString()]],
      ["token.signature", makeToken({}, {}, makeKey())],
      ["token.key_unknown", makeToken({}, { kid: "k2" })],
      ["token.audience", makeToken(), ["--at", AT, "--audience", "https://other.example"]],
      ["token.issuer", makeToken(), ["--at", AT, "--issuer", "https://other.example"]],
      ["token.malformed", "not a token"],
      ["token.malformed", ""],
      ["token.too_large", `${makeToken()}${"A".repeat(20_000)}`],
      ["token.unbound", makeToken({ cnf: undefined })],
    ];
    for (const [reason, token, args] of cases) {
      const { status, stdout } = verify(token, args);
      assert.equal(status, 1, `${reason} ${stdout}`);
      assert.match(stdout, new RegExp(`^NOT valid at [^ ]+: .*\\(${reason.replace(".", "\\.")}`));
    }
    const chain = makeChain(3, { 2: { scope: ["delete:scores:*"] } });
    const { status, stdout } = verify(tokenOf(chain));
    assert.equal(status, 1);
    assert.match(stdout, /its delegation does not hold \(token\.delegation: scope_wider at hop 2: delete:scores:\*\)/);
    const heads = stdout.split("\n").filter((line) => line.includes("└─"));
    assert.deepEqual(heads.slice(0, 2), [`└─ ${chain.root.id}`, `   └─ ${chain.hops[0]?.payload.sub}`]);
    assert.match(heads[2] ?? "", /^ {6}└─ here it breaks: scope_wider at hop 2/);
    assert.equal(heads.length, 3);
  });

  test("an expired token is judged at the time that is asked for", () => {
    const token = makeToken({ iat: NOW_S - 1000, exp: NOW_S - 700 });
    assert.equal(verify(token).status, 1);
    assert.equal(verify(token, ["--at", new Date(NOW_MS - 800_000).toISOString()]).status, 0);
  });

  test("a file that cannot be read, a key set that is none and a time that is none are usage errors", () => {
    writeFileSync(path.join(folder, "none.json"), "{}");
    writeFileSync(path.join(folder, "text.json"), "keys");
    const jwks = path.join(folder, "jwks.json");
    for (const { status, stdout, stderr } of [
      run(["/does/not/exist", "--jwks", jwks]),
      verify(makeToken(), [], "none.json"),
      verify(makeToken(), [], "text.json"),
      verify(makeToken(), [], "missing.json"),
      verify(makeToken(), ["--at", "yesterday"]),
      verify(makeToken(), ["--at", "2027"]),
      run([path.join(folder, "token")]),
    ]) {
      assert.equal(status, 2, stderr);
      assert.equal(stdout, "");
      assert.notEqual(stderr, "");
    }
  });

  test("what the token says cannot steer the terminal", () => {
    const cordon = { principal: { type: "user", id: "\u202egilla" }, intent: { purpose: "p" } };
    const { stdout } = verify(makeToken({ cordon, jti: "\u001b[2J" }));
    assert.doesNotMatch(stdout, /[\u001b\u202e]/);
    assert.match(stdout, /\\u001b\[2J/);
  });
});

interface Report {
  readonly valid: boolean;
  readonly lineage: readonly {
    readonly id: string;
    readonly key_thumbprint: string;
    readonly depth: number;
    readonly scope: readonly string[];
  }[];
}
