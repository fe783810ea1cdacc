// In: what was sent to three upstreams, and what the gateway's logs say of it. Out: nothing, or an assertion that fails.
import assert from "node:assert/strict";
import type { FramedRequest } from "./recording-upstream.ts";
import { type Evidence, type Judgement, UPSTREAMS } from "./three-upstreams.ts";

/** The query is in no log; the readers are compared with each other where it matters. */
function withoutQuery<T extends FramedRequest>({ method, target, bytes, sha256 }: T): FramedRequest {
  return { method, target: target.replace(/\?.*$/, ""), bytes, sha256 };
}

/** Every reader saw the requests that the gateway says it judged and forwarded, in their order, and nothing else. */
export function assertAgreement(evidence: Evidence, judgements: ReadonlyMap<string, Judgement>): void {
  const all = UPSTREAMS.map((name) => {
    const { ids, views, faults } = evidence[name];
    const judged = ids.map((id) => judgements.get(id));
    const forwarded = judged.filter((one) => one?.outcome === "forwarded").map((one) => withoutQuery(one as Judgement));
    for (const view of views) assert.deepEqual(view.map(withoutQuery), forwarded, `${name} read something else`);
    assert.deepEqual(faults, [], `${name} refused something`);
    return views;
  });
  const [first] = all.flat();
  for (const view of all.flat()) assert.deepEqual(view, first, "two readers saw different requests");
}

/** No reader saw a whole request. */
export function assertNothingSeen(evidence: Evidence): void {
  for (const name of UPSTREAMS) {
    for (const view of evidence[name].views) assert.deepEqual(view, [], `${name} saw a request`);
  }
}

/** The client's own header reached every recorder as it was sent, and once. */
export function assertHeader(evidence: Evidence, name: string, value: string): void {
  for (const upstream of UPSTREAMS) {
    const headers = evidence[upstream].recorded[0]?.headers ?? [];
    const values = headers.filter(([other]) => other === name.toLowerCase()).map(([, other]) => other);
    assert.deepEqual(values, [value], `${name} at ${upstream}`);
  }
}
