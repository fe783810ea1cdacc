// In: chains of delegation records, valid and forged in one or a few ways. Out: the properties of their verifier.
// The model: the rules of delegation, written plainly one after the other, with jose for signatures and thumbprints, and
// with deeds.ts for what a constraint means.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import * as jose from "jose";
import {
  type Delegator,
  rootDelegator,
  verifyDelegationChain,
  verifyDelegationRecord,
} from "../../src/lib/delegation-record.ts";
import type { DelegationRecord, DelegationRoot } from "../../src/lib/parse-delegation-record.ts";
import { idOf, makeChain, makeRoot, nextRecord, PRINCIPAL, SESSION, signRecord, TASK } from "../fixtures/delegation.ts";
import { makeKey, NOW_S } from "../unit/token/token-fixtures.ts";
import { deedsOf, permits } from "./deeds.ts";
import { nodesOf, readJson } from "./json-reader.ts";
import { mutatedText } from "./mutated-text.ts";
import { ACCEPTED, property } from "./property.ts";

/** Whole, so that a kept case is judged again without the keys that made it. */
interface PresentedChain {
  readonly root: DelegationRoot;
  readonly records: readonly string[];
  /** Nothing was forged: it must be accepted. */
  readonly honest: boolean;
}

const KEYS = (["ES256", "EdDSA", "ES256", "ES256", "EdDSA", "ES256"] as const).map((alg) => makeKey(alg));
const [ROOT_KEY = makeKey()] = KEYS;
const OTHER = makeChain(5);
const CHAIN = makeChain(5);
const HOPS_MAX = 5;

const scope = fc.subarray(
  "read:candidates:* read:candidates:J42 write:scores:* write:scores:1 read:candidates:J4 delete:scores:* read:*:* read".split(
    " ",
  ),
);
const limit = fc.constantFrom<unknown>({ max: 100 }, { max: 5 }, { max: 101 }, { max: 5, min: 1 }, { min: 0 }, 5, {});
const constraints = fc.record(
  {
    job_id: fc.constantFrom<unknown>(["J42", "J43"], "J42", ["J43"], ["J42", "J44"], [], "J4"),
    amount: limit,
    region: fc.constantFrom<unknown>("eu", null, ["eu", "us"]),
  },
  { requiredKeys: [] },
);
const detail = fc.record(
  {
    type: fc.constantFrom<unknown>("ranking", "payment", "", 1),
    actions: fc.constantFrom<unknown>(["read", "score"], "read", ["score"], ["hire"], []),
    limit,
  },
  { requiredKeys: ["type"] },
);
/** What may stand in a record beside what its delegator has; much of it is wider, or not even well-formed. */
const change: fc.Arbitrary<Partial<Record<keyof DelegationRecord, unknown>>> = fc.oneof(
  fc.record({ scope }),
  fc.record({ constraints }),
  fc.record({ details: fc.array(detail, { maxLength: 2 }) }),
  fc.record({ exp: fc.constantFrom<unknown>(NOW_S + 100, NOW_S + 3550, NOW_S + 3600, NOW_S + 3601, "soon", 1e300) }),
  fc.record({ iat: fc.constantFrom<unknown>(NOW_S, NOW_S + 3, NOW_S + 50, NOW_S - 1, -1, NOW_S + 0.5) }),
  fc.record({ depth: fc.constantFrom<unknown>(0, 1, 2, 3, 5, 6, "1") }),
  fc.record({ prev: fc.constantFrom("", "A".repeat(43)) }),
  fc.record({ session: fc.constantFrom("session-2", "", `${SESSION} `) }),
  fc.record({ task: fc.constantFrom(TASK.replace("j42", "j43"), `${TASK}/x`) }),
  fc.record({ purpose: fc.constantFrom<unknown>("", "other", 1, "\u2028", "x".repeat(513)) }),
  fc.record({ principal: fc.constantFrom<unknown>({ ...PRINCIPAL, id: "bob" }, { ...PRINCIPAL, more: 1 }, null) }),
  fc.constantFrom(...KEYS).map((key) => ({ sub: idOf(key) })),
  fc.constantFrom(...KEYS).map((key) => ({ delegate_jkt: key.thumbprint })),
  fc.constantFrom(...KEYS).map((key) => ({ iss: idOf(key) })),
);
const forgery = fc.oneof(
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(4) }),
  fc.record({ kind: fc.constant("swap" as const), at: fc.nat(4), with: fc.nat(4) }),
  fc.record({ kind: fc.constant("double" as const), at: fc.nat(4) }),
  fc.record({ kind: fc.constant("splice" as const), at: fc.nat(4), with: fc.nat(4) }),
  fc.record({ kind: fc.constant("sign" as const), at: fc.nat(4), with: fc.nat(5) }),
);
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });

const chains: fc.Arbitrary<PresentedChain> = fc
  .record({
    length: fc.integer({ min: 1, max: HOPS_MAX }),
    changes: fc.array(rarely(change), { maxLength: HOPS_MAX }),
    forged: rarely(forgery),
  })
  .map(({ length, changes, forged }) => {
    const root = makeRoot(ROOT_KEY);
    const hops: { text: string; payload: DelegationRecord }[] = [];
    for (let hop = 0; hop < length; hop++) {
      const [from = ROOT_KEY, to = ROOT_KEY] = KEYS.slice(hop, hop + 2);
      const payload = { ...nextRecord({ root, hops }, from, to), ...changes[hop] } as DelegationRecord;
      hops.push({ text: signRecord(from, payload), payload });
    }
    const honest = forged === null && changes.slice(0, length).every((one) => one === null || one === undefined);
    return { root, records: forge(hops, forged), honest };
  });

function forge(
  hops: readonly { text: string; payload: DelegationRecord }[],
  forged: { kind: string; at: number; with?: number } | null,
): readonly string[] {
  const records = hops.map(({ text }) => text);
  if (forged === null) return records;
  const at = forged.at % records.length;
  const other = forged.with ?? 0;
  const [mine = "", its = ""] = [records[at], records[other % records.length]];
  if (forged.kind === "cut") records.splice(at, 1);
  if (forged.kind === "double") records.splice(at, 0, mine);
  if (forged.kind === "swap") [records[at], records[other % records.length]] = [its, mine];
  if (forged.kind === "splice") records[at] = OTHER.records[other] ?? "";
  if (forged.kind === "sign")
    records[at] = signRecord(KEYS[other] ?? ROOT_KEY, hops[at]?.payload, { jwk: KEYS[at]?.jwk });
  return records;
}

const MODULES = ["delegation-record", "parse-delegation-record", "narrowing", "parse-compact-jws", "public-key"].map(
  (name) => `src/lib/${name}.ts`,
);
const corpus = [...CHAIN.records];

export const DELEGATION = [
  property<PresentedChain>({
    name: "delegation.forged",
    says: "a chain is accepted only if jose and every rule of delegation accept it too, and an honest one always is",
    inputs: chains,
    check: checkChain,
    isAsync: true,
    runs: 300,
  }),
  property<string>({
    name: "delegation.bytes",
    says: "no change of its bytes turns a record into another one that is accepted at any hop",
    inputs: mutatedText(corpus, [...". .. = - _ A e30".split(" "), ...corpus.flatMap((record) => record.split("."))]),
    check: checkBytes,
    runs: 600,
    guide: { corpus, modules: MODULES },
  }),
];

const rootOf = (root: DelegationRoot): Delegator => rootDelegator(root, { session: SESSION, principal: PRINCIPAL });

/** Who signs each record of CHAIN. */
const DELEGATORS = CHAIN.records.reduce<Delegator[]>(
  (delegators, record) => {
    const parent = delegators.at(-1);
    const verified = parent === undefined ? undefined : verifyDelegationRecord(record, parent);
    return verified?.ok === true ? [...delegators, verified.value.delegate] : delegators;
  },
  [rootOf(CHAIN.root)],
);

function checkBytes(text: string): string {
  const at = DELEGATORS.findIndex((delegator) => verifyDelegationRecord(text, delegator).ok);
  if (at < 0) return "refused";
  assert.equal(text, CHAIN.records[at], "another text was accepted");
  return ACCEPTED;
}

async function checkChain({ root, records, honest }: PresentedChain): Promise<string> {
  const result = verifyDelegationChain(records, rootOf(root));
  if (!result.ok) {
    assert.ok(!honest, `an honest chain was refused: ${result.error.code}`);
    return result.error.code;
  }
  assert.equal(await faultOf(root, records), undefined);
  return ACCEPTED;
}

/** Undefined where nothing speaks against the chain. */
async function faultOf(root: DelegationRoot, records: readonly string[]): Promise<string | undefined> {
  if (records.length < 1 || records.length > HOPS_MAX) return "no chain";
  let parent = { ...root, exp: Date.parse(root.expires_at) / 1000, iat: 0, prev: "" };
  for (const [index, text] of records.entries()) {
    const tree = readJson(Buffer.from(text.split(".")[1] ?? "", "base64url").toString());
    if (tree === undefined) return "not JSON";
    for (const { node } of nodesOf(tree)) {
      const names = node.kind === "object" ? node.members.map(([name]) => name) : [];
      if (new Set(names).size !== names.length) return "a member stands twice";
    }
    const { payload, protectedHeader } = await jose.compactVerify(text, jose.EmbeddedJWK, {
      algorithms: ["ES256", "EdDSA"],
    });
    if (protectedHeader.typ !== "cordon-delegation+jwt") return "another type";
    const signer = await jose.calculateJwkThumbprint(protectedHeader.jwk ?? {});
    const record = JSON.parse(Buffer.from(payload).toString()) as DelegationRecord;
    const { iss, sub, delegate_jkt: jkt, task, session, principal, scope: scopes, iat, exp, depth, prev } = record;
    if (signer !== parent.jkt || iss !== parent.id || !iss.endsWith(`/${signer}`)) return "another signer";
    if (sub !== `${TASK}/${jkt}` || task !== TASK || !iss.startsWith(`${TASK}/`)) return "another task or delegate";
    if (session !== SESSION) return "another chain";
    const { type, id, issuer, ...more } = principal;
    if (JSON.stringify([type, id, issuer, more]) !== JSON.stringify([...Object.values(PRINCIPAL), {}]))
      return "principal";
    if (depth !== index + 1 || prev !== parent.prev) return "another place";
    if (exp > parent.exp || iat < parent.iat || exp <= iat) return "time";
    if (!scopes.every((one) => isCovered(one, parent.scope))) return "scope";
    for (const deed of deedsOf(record.constraints)) {
      if (permits(record.constraints, deed) && !permits(parent.constraints, deed)) return "constraints";
    }
    for (const entry of record.details) {
      if (
        !parent.details.some((wider) => deedsOf(entry).every((deed) => !permits(entry, deed) || permits(wider, deed)))
      )
        return "details";
    }
    const { details, constraints: own } = record;
    const hash = createHash("sha256").update(text).digest("base64url");
    parent = { id: sub, jkt, scope: scopes, details, constraints: own, expires_at: "", exp, iat, prev: hash };
  }
  return undefined;
}

function isCovered(narrower: string, parent: readonly string[]): boolean {
  const [action = "", resource = "", identifier = "", ...rest] = narrower.split(":");
  if ([action, resource, identifier].includes("") || rest.length > 0 || `${action}${resource}`.includes("*"))
    return false;
  return parent.includes(narrower) || parent.includes(`${action}:${resource}:*`);
}
