// In: files and their contents. Out: a ustar archive, with whatever a hostile writer would put into its headers.
import { gzipSync } from "node:zlib";

export interface TarEntry {
  readonly path: string;
  readonly content?: string | Uint8Array;
  readonly type?: string;
  readonly checksum?: string;
}

export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { path, content = "", type = "0", checksum } of entries) {
    const body = Buffer.from(content);
    const head = Buffer.alloc(512);
    head.write(path, 0, 100, "latin1");
    head.write("0000600\0", 100);
    head.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124);
    head.write("        ", 148);
    head.write(type, 156);
    head.write("ustar\x0000", 257);
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(head, body, Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export const packBundle = (entries: readonly TarEntry[]): Buffer => gzipSync(writeTar(entries));
