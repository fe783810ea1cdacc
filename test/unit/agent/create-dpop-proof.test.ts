import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from "jose";
import { CordonError } from "../../../src/agent/cordon-error.ts";
import { createDpopProof } from "../../../src/agent/create-dpop-proof.ts";
import { createKey, parseKey } from "../../../src/agent/create-key.ts";

for (const algorithm of ["ES256", "EdDSA"] as const) {
  test(`a proof by an ${algorithm} key is verified by jose and carries what RFC 9449 asks for`, async () => {
    const key = createKey(algorithm);
    const url = "https://Gateway.example:443/a/b?c=d#e";
    const proof = createDpopProof({ key, method: "POST", url, accessToken: "token", nonce: "n1" });
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      typ: "dpop+jwt",
      algorithms: [algorithm],
    });
    const { jti, iat, ...rest } = payload;
    assert.deepEqual(rest, {
      htm: "POST",
      htu: "https://gateway.example/a/b",
      ath: createHash("sha256").update("token").digest("base64url"),
      nonce: "n1",
    });
    assert.ok(typeof jti === "string" && Math.abs(Number(iat) - Date.now() / 1000) < 5);
    assert.ok(protectedHeader.jwk);
    assert.equal(Object.hasOwn(protectedHeader.jwk, "d"), false);
    assert.equal(await calculateJwkThumbprint(protectedHeader.jwk), key.thumbprint);
  });
}

test("two proofs for the same request have different ids", () => {
  const key = createKey();
  const jti = () =>
    JSON.parse(
      Buffer.from(
        createDpopProof({ key, method: "GET", url: "http://a/" }).split(".")[1] ?? "",
        "base64url",
      ).toString(),
    ).jti;
  assert.notEqual(jti(), jti());
});

test("a key survives its JWK form, and what is no private P-256 or Ed25519 key is refused without quoting it", () => {
  const key = createKey("EdDSA");
  assert.equal(parseKey(key.privateKey.export({ format: "jwk" })).thumbprint, key.thumbprint);
  const secret = "c2VjcmV0LXNlY3JldA";
  for (const jwk of [null, {}, key.publicJwk, { kty: "oct", k: secret }, { kty: "EC", crv: "P-256", d: secret }]) {
    assert.throws(
      () => parseKey(jwk),
      (error: CordonError) =>
        error instanceof CordonError && error.code === "key_invalid" && !error.message.includes(secret),
    );
  }
});
