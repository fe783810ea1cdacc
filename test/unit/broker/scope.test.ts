import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { grantScopes } from "../../../src/broker/scope.ts";

test("nothing requested grants everything registered, and only that", () => {
  assert.deepEqual(grantScopes(["read:a:1", "write:b:*"], []), { granted: ["read:a:1", "write:b:*"] });
  assert.deepEqual(grantScopes([], []), { granted: [] });
});

test("one scope beyond the registered refuses the whole request and is named", () => {
  assert.deepEqual(grantScopes(["read:a:1"], ["read:a:1", "read:a:2"]), { refused: "read:a:2" });
  assert.deepEqual(grantScopes(["read:a:1"], ["read:a:*"]), { refused: "read:a:*" });
  assert.deepEqual(grantScopes(["read:a:*"], ["read:ab:1"]), { refused: "read:ab:1" });
  assert.deepEqual(grantScopes(["read:a:*"], ["read:a:1:2"]), { refused: "read:a:1:2" });
});

test("a registered star covers each identifier, and a scope asked for twice is granted once", () => {
  assert.deepEqual(grantScopes(["read:a:*"], ["read:a:1", "read:a:1"]), { granted: ["read:a:1"] });
  assert.deepEqual(grantScopes(["read:a:*"], ["read:a:*"]), { granted: ["read:a:*"] });
});

test("whatever is granted is covered, part by part, by something registered", () => {
  const scope = fc
    .tuple(fc.constantFrom("read", "write"), fc.constantFrom("a", "ab"), fc.constantFrom("*", "1", "12"))
    .map((parts) => parts.join(":"));
  fc.assert(
    fc.property(fc.array(scope), fc.array(scope, { minLength: 1 }), (registered, requested) => {
      const grant = grantScopes(registered, requested);
      const covered = (text: string) => {
        const [action, resource] = text.split(":");
        return registered.includes(text) || registered.includes(`${action}:${resource}:*`);
      };
      if ("refused" in grant) assert.ok(!covered(grant.refused));
      else assert.ok(requested.every(covered) && grant.granted.every((text) => requested.includes(text)));
    }),
  );
});
