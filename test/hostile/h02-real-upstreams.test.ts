// H02: the published desync vectors at a recorder, at Debian's nginx and at haproxy, each with a request behind it on its
// connection. Nothing severe reaches any of them; of all else they read what the gateway judged: the same requests, each
// with the same end.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertAgreement, assertHeader, assertNothingSeen } from "./agreement.ts";
import { skipWithoutVectors, type Vector, VECTOR_FOLDER, vectorBytes, vectors, VECTORS_MIN } from "./desync-vectors.ts";
import { skipWithoutServers } from "./real-servers.ts";
import {
  type Evidence,
  type Judgement,
  startThreeUpstreams,
  type ThreeUpstreams,
  UPSTREAMS,
} from "./three-upstreams.ts";

const MARKER = "/marker";
/** All that is no part of a value (RFC 9110 section 5.5); a no-break space is one. */
const OUTER_SPACE = /^[\t ]+|[\t ]+$/g;
const FRAMING = /^(?:content-length|transfer-encoding)$/i;

describe("H02 published desync vectors at real servers", { skip: skipWithoutVectors || skipWithoutServers }, () => {
  let three: ThreeUpstreams;
  let judgements: ReadonlyMap<string, Judgement>;
  const evidence: Evidence[] = [];
  before(async () => {
    assert.ok(vectors.length > VECTORS_MIN, `the vectors are missing: ${VECTOR_FOLDER}`);
    three = await startThreeUpstreams();
    for (const vector of vectors) evidence.push(await send(vector));
    judgements = await three.judgements(evidence);
  });
  after(() => three.close());

  function send(vector: Vector): Promise<Evidence> {
    return three.send(async (door) => {
      const [, ...credentials] = await door.credentials(vector.method, vector.uri);
      const marker = await door.request("GET", MARKER, ["Connection: close"]);
      return [Buffer.concat([vectorBytes(vector, door.host, credentials).bytes, Buffer.from(marker)])];
    });
  }
  const targets = ({ recorder }: Evidence): string[] => (recorder.views[0] ?? []).map(({ target }) => target);

  for (const [index, vector] of vectors.entries()) {
    const { tier } = vector.expected;
    test(`H02 vector ${index} (${tier}) at real servers: ${JSON.stringify(vector.name).slice(1, 80)}`, () => {
      const found = evidence[index] as Evidence;
      assertAgreement(found, judgements);
      if (tier === "Severe") {
        assertNothingSeen(found);
        for (const name of UPSTREAMS) assert.deepEqual(found[name].statuses, [400]);
      }
      if (targets(found)[0] !== vector.uri) return;
      assert.deepEqual(targets(found), [vector.uri, MARKER], "what stood behind it");
      for (const { name, value } of vector.headers ?? []) {
        if (!FRAMING.test(name)) assertHeader(found, name, String(value).replace(OUTER_SPACE, ""));
      }
    });
  }

  test("H02 vectors that are plainly framed reach all three, so that agreement is not silence", () => {
    const plain = vectors.filter(({ name }) => name === "No headers" || name.startsWith("Valid "));
    assert.ok(plain.length >= 8);
    for (const vector of plain) {
      assert.deepEqual(targets(evidence[vectors.indexOf(vector)] as Evidence), [vector.uri, MARKER], vector.name);
    }
  });
});
