// In: nothing. Out: published requests that proxies and servers frame differently, and each as bytes with credentials.
// Vectors: aws/http-desync-guardian (Apache-2.0), read from outside; for tests only.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

export const VECTOR_FOLDER = fileURLToPath(new URL("../../../shared/vectors", import.meta.url));

export interface Vector {
  readonly name: string;
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly headers?: readonly { readonly name: string; readonly value: string | number }[] | null;
  readonly expected: { readonly tier: "Severe" | "Ambiguous" | "Acceptable" | "Compliant" };
}

const found = existsSync(VECTOR_FOLDER)
  ? readdirSync(VECTOR_FOLDER).filter((name) => /^http-desync-.*\.yaml$/.test(name))
  : [];

/** Of all files and tiers. */
export const vectors = found.flatMap((name) => parse(readFileSync(path.join(VECTOR_FOLDER, name), "utf8")) as Vector[]);

/** The `skip` option of a test that needs them; with CI set their absence fails it. */
export const skipWithoutVectors =
  found.length === 0 && process.env["CI"] === undefined ? `no http-desync vectors in ${VECTOR_FOLDER}` : false;

/** Fewer would mean that files are missing. */
export const VECTORS_MIN = 100;

/** More than any vector declares that is framed in one way. */
const BODY_BYTES_MAX = 10_000;

/** The vector with `lines` before its own headers, and a body that each of its framings would accept. */
export function vectorBytes(
  vector: Vector,
  host: string,
  lines: readonly string[],
): { readonly bytes: Buffer; readonly body: string } {
  const headers = vector.headers ?? [];
  const chunked = headers.some(({ name }) => /transfer.encoding/i.test(name));
  const length = headers.find(({ name }) => /content.length/i.test(name))?.value;
  const body = chunked
    ? "5\r\nhello\r\n0\r\n\r\n"
    : "x".repeat(Math.min(Number.parseInt(String(length ?? 0), 10) || 0, BODY_BYTES_MAX));
  const hosts = headers.some(({ name }) => name.toLowerCase() === "host") ? [] : [`Host: ${host}`];
  const head = [
    `${vector.method} ${vector.uri}${vector.version === "" ? "" : ` ${vector.version}`}`,
    ...hosts,
    ...lines,
    ...headers.map(({ name, value }) => `${name}: ${String(value)}`),
  ];
  return { bytes: Buffer.concat([bytesOf(`${head.join("\r\n")}\r\n\r\n`), Buffer.from(body)]), body };
}

/** Text above U+00FF goes out as UTF-8, all else byte for byte, as the vectors mean it. */
function bytesOf(text: string): Buffer {
  return Buffer.from(text, /[^\u0000-\u00ff]/.test(text) ? "utf8" : "latin1");
}
