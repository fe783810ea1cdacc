// In: paths and bytes. Out: the few file operations that the audit log needs, as an interface, so that tests can
// put a disk in its place that fills up, fails or forgets. Trusts: the file system's fdatasync.
import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";

export interface AuditFile {
  size(): Promise<number>;
  /** Exactly `length` bytes from `position`, or fewer at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  /** Appends; returns how many bytes were taken, which may be fewer than given. */
  append(bytes: Uint8Array): Promise<number>;
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface FileLayer {
  /** Opens for append, creating the folder (0700) and the file (0600) where missing, durably. */
  open(path: string): Promise<AuditFile>;
}

export const realFileLayer: FileLayer = {
  async open(path) {
    const folder = dirname(path);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
    try {
      // The name of a new file is durable only once its folder is (fsync(2)).
      const folderHandle = await open(folder, constants.O_RDONLY);
      await folderHandle.sync().finally(() => folderHandle.close());
    } catch (error) {
      await handle.close();
      throw error;
    }
    return auditFile(handle);
  },
};

function auditFile(handle: FileHandle): AuditFile {
  return {
    size: async () => (await handle.stat()).size,
    async read(position, length) {
      const buffer = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    append: async (bytes) => (await handle.write(bytes)).bytesWritten,
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    close: () => handle.close(),
  };
}
