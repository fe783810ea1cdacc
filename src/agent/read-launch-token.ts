// In: where a launch token is: a file descriptor, a file or the environment. Out: its text, and nothing of it left behind.
// It is used once, but for 30 seconds it is as good as an agent: so a file must be its owner's alone, and is removed.
import { closeSync, constants, createReadStream, fstatSync, openSync } from "node:fs";
import { open, unlink } from "node:fs/promises";
import { devNull } from "node:os";
import { text as textOf } from "node:stream/consumers";
import { CordonError } from "./cordon-error.ts";

export const LAUNCH_TOKEN_VARIABLE = "CORDON_LAUNCH_TOKEN";
/** A launch token has less than 120 characters. */
const BYTES_MAX = 1024;
/** Who opens a pipe and writes nothing would hold the start for ever; later than this no token is valid. */
const READ_TIMEOUT_MS = 30_000;
const OTHERS = 0o077;

export interface LaunchTokenSource {
  readonly fd?: number;
  readonly file?: string;
  /** Its variable is taken out of here. */
  readonly environment: NodeJS.ProcessEnv;
}

export interface ReadLaunchToken {
  readonly launchToken: string;
  /** What the operator should know about the way it came. */
  readonly warning?: string;
}

/** Throws CordonError `usage`; the message never quotes what was read. */
export async function readLaunchToken({ fd, file, environment }: LaunchTokenSource): Promise<ReadLaunchToken> {
  const inherited = environment[LAUNCH_TOKEN_VARIABLE];
  // Whatever is used: the program behind the sidecar gets no launch token.
  delete environment[LAUNCH_TOKEN_VARIABLE];
  const given = [fd, file, inherited].filter((source) => source !== undefined);
  if (given.length !== 1) {
    const found = given.length === 0 ? "there is none" : "there are several";
    throw usage(
      `Give one launch token, by --launch-token-fd, --launch-token-file or ${LAUNCH_TOKEN_VARIABLE}: ${found}.`,
    );
  }
  if (fd !== undefined) return { launchToken: await readDescriptor(fd) };
  if (file !== undefined) return readFileOnce(file);
  return {
    launchToken: (inherited ?? "").trim(),
    warning: `the launch token came by ${LAUNCH_TOKEN_VARIABLE}, which processes of the same user can read in /proc; a file descriptor is better`,
  };
}

async function readDescriptor(fd: number): Promise<string> {
  const explained = (cause?: unknown): CordonError =>
    usage(`The launch token cannot be read from file descriptor ${fd}; open it for the command, as in 3<file.`, cause);
  if (!isReadable(fd)) throw explained();
  // Closed only once it was read: a number that was given by mistake may be one of this process's own.
  const stream = createReadStream("", { fd, end: BYTES_MAX, autoClose: false });
  const timer = setTimeout(() => stream.destroy(new Error("nothing was written to it")), READ_TIMEOUT_MS);
  try {
    const text = checkSize(await textOf(stream));
    closeSync(fd);
    // The next descriptor would get the lowest number, and the program whatever that is as its standard input.
    if (fd === 0) openSync(devNull, "r");
    return text;
  } catch (cause) {
    throw cause instanceof CordonError ? cause : explained(cause);
  } finally {
    clearTimeout(timer);
  }
}

function isReadable(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() || stats.isFIFO() || stats.isSocket() || stats.isCharacterDevice();
  } catch {
    return false;
  }
}

async function readFileOnce(file: string): Promise<ReadLaunchToken> {
  let handle;
  try {
    // A link may lead to a file that another user chose.
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw usage(`The launch token cannot be read from ${file}.`, cause);
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw usage(`${file} is no file; name one that holds the launch token and nothing else.`);
    if ((stats.mode & OTHERS) !== 0)
      throw usage(`${file} can be read by others; make it mode 0600 where it is written.`);
    if (stats.size > BYTES_MAX) throw usage(`${file} holds more than a launch token.`);
    const launchToken = checkSize(await handle.readFile("utf8"));
    await unlink(file);
    return { launchToken };
  } catch (error) {
    if (error instanceof CordonError) throw error;
    throw usage(
      `${file} cannot be removed after it was read; put it into a folder of its own that may be written.`,
      error,
    );
  } finally {
    await handle.close();
  }
}

function checkSize(text: string): string {
  if (text.length > BYTES_MAX) throw usage("This is more than a launch token.");
  return text.trim();
}

function usage(message: string, cause?: unknown): CordonError {
  return new CordonError("usage", message, { cause });
}
