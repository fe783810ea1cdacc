// In: the published vectors beside the project. Out: texts to mutate; where the vectors are missing, none.
// The properties have seeds of their own too, so that they hold everywhere.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const FOLDER = fileURLToPath(new URL("../../../shared/vectors", import.meta.url));

export interface DesyncVector {
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly headers?: readonly { readonly name: string; readonly value: string | number }[];
}

export interface JwsVector {
  readonly jws: string;
  readonly jwk: Readonly<Record<string, unknown>>;
}

/** Requests that proxies and servers frame differently (aws/http-desync-guardian). */
export function desyncVectors(): DesyncVector[] {
  if (!existsSync(FOLDER)) return [];
  const names = readdirSync(FOLDER).filter((name) => /^http-desync-.*\.yaml$/.test(name));
  return names.flatMap((name) => parse(readFileSync(path.join(FOLDER, name), "utf8")) as DesyncVector[]);
}

/** Compact JWS, valid and not, with the key that each is said to be of (C2SP/wycheproof). */
export function jwsVectors(): JwsVector[] {
  const file = path.join(FOLDER, "wycheproof-jws.json");
  if (!existsSync(file)) return [];
  const { testGroups } = JSON.parse(readFileSync(file, "utf8")) as {
    testGroups: { public?: Record<string, unknown>; tests: { jws: unknown }[] }[];
  };
  return testGroups.flatMap(({ public: jwk, tests }) =>
    jwk === undefined
      ? []
      : tests.flatMap(({ jws }) => (typeof jws === "string" && isBytes(jws) ? [{ jws, jwk }] : [])),
  );
}

/** Text whose characters are bytes, as a header value is. */
function isBytes(text: string): boolean {
  return /^[\u0000-\u00ff]*$/.test(text);
}
