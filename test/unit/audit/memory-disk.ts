import type { AuditFile, FileLayer } from "../../../src/audit/file-layer.ts";

export function ioError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/**
 * A disk in memory that fails on request and knows what was synced. `crash()` gives the disk that a power cut leaves:
 * what was not synced is gone, or a part of it is there (`keepUnsynced` bytes).
 */
export function createMemoryDisk(initial = new Map<string, Buffer>()) {
  const files = new Map(initial);
  const synced = new Map(initial);
  const fail: {
    append?: Error | undefined;
    datasync?: Error | undefined;
    truncate?: Error | undefined;
    open?: Error | undefined;
    shortWrites?: boolean;
  } = {};
  let syncs = 0;
  let holdSync: Promise<void> | undefined;

  const layer: FileLayer = {
    async open(path) {
      if (fail.open) throw fail.open;
      if (!files.has(path)) files.set(path, Buffer.alloc(0));
      const content = () => files.get(path) ?? Buffer.alloc(0);
      const file: AuditFile = {
        size: async () => content().length,
        read: async (position, length) => Buffer.from(content().subarray(position, position + length)),
        async append(bytes) {
          const taken = fail.append || fail.shortWrites ? Math.ceil(bytes.length / 2) : bytes.length;
          files.set(path, Buffer.concat([content(), bytes.subarray(0, taken)]));
          if (fail.append) throw fail.append;
          return taken;
        },
        async datasync() {
          syncs += 1;
          await holdSync;
          if (fail.datasync) throw fail.datasync;
          synced.set(path, content());
        },
        async truncate(length) {
          if (fail.truncate) throw fail.truncate;
          files.set(path, content().subarray(0, length));
        },
        close: async () => {},
      };
      return file;
    },
  };
  return {
    layer,
    fail,
    files,
    get syncs() {
      return syncs;
    },
    hold(until: Promise<void>) {
      holdSync = until;
    },
    text: (path: string) => (files.get(path) ?? Buffer.alloc(0)).toString(),
    syncedText: (path: string) => (synced.get(path) ?? Buffer.alloc(0)).toString(),
    crash(keepUnsynced = 0) {
      const after = new Map<string, Buffer>();
      for (const [path, content] of files) {
        const durable = synced.get(path)?.length ?? 0;
        after.set(path, content.subarray(0, Math.max(durable, Math.min(content.length, durable + keepUnsynced))));
      }
      return createMemoryDisk(after);
    },
  };
}
