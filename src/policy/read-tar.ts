// In: the bytes of a tar archive. Out: its regular files, by clean path.
// Trusts: nothing. Links, devices, extended headers, odd paths and duplicates are refused, not skipped.
import { err, ok, type Result } from "../lib/result.ts";

const BLOCK_BYTES = 512;
/** A bundle has a handful of files; Rego sources are listed too. */
const ENTRIES_MAX = 4096;

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

function text(block: Uint8Array, start: number, length: number): string {
  const field = latin1(block.subarray(start, start + length));
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

function octal(block: Uint8Array, start: number, length: number): number {
  const digits = text(block, start, length).trim();
  return /^[0-7]{1,12}$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** POSIX ustar: the sum of the header's bytes, with its checksum field read as spaces. */
function checksumFits(block: Uint8Array): boolean {
  let sum = 0;
  for (let index = 0; index < BLOCK_BYTES; index += 1) sum += index >= 148 && index < 156 ? 32 : (block[index] ?? 0);
  return sum === octal(block, 148, 8);
}

/** OPA writes `/data.json`; one leading slash is dropped, everything else must be plain. */
function cleanPath(raw: string): string | undefined {
  const path = raw.startsWith("/") ? raw.slice(1) : raw;
  if (!/^[\x20-\x5b\x5d-\x7e]+$/.test(path)) return undefined;
  return path.split("/").some((part) => part === "" || part === "." || part === "..") ? undefined : path;
}

/** POSIX.1-1988 ustar. Errors are sentences for the operator. */
export function readTar(archive: Uint8Array): Result<ReadonlyMap<string, Uint8Array>, string> {
  const files = new Map<string, Uint8Array>();
  let offset = 0;
  for (;;) {
    const block = archive.subarray(offset, offset + BLOCK_BYTES);
    if (block.length < BLOCK_BYTES) return err("the archive ends in the middle of an entry");
    if (block.every((byte) => byte === 0)) return ok(files);
    if (!checksumFits(block)) return err("the archive has an entry with a wrong checksum");
    const size = octal(block, 124, 12);
    const prefix = text(block, 257, 5) === "ustar" ? text(block, 345, 155) : "";
    const raw = prefix === "" ? text(block, 0, 100) : `${prefix}/${text(block, 0, 100)}`;
    const type = String.fromCharCode(block[156] ?? 0);
    offset += BLOCK_BYTES;
    if (!Number.isSafeInteger(size) || offset + size > archive.length)
      return err("the archive has an entry of a wrong size");
    const data = archive.subarray(offset, offset + size);
    offset += Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (type === "5") continue;
    if (type !== "0" && type !== "\0")
      return err(`the archive has an entry of type ${JSON.stringify(type)}; only plain files are allowed`);
    const path = cleanPath(raw);
    if (path === undefined) return err(`the archive has a file with an unsafe path: ${JSON.stringify(raw)}`);
    if (files.has(path)) return err(`the archive has ${path} twice`);
    if (files.size >= ENTRIES_MAX) return err(`the archive has more than ${ENTRIES_MAX} files`);
    files.set(path, data);
  }
}
