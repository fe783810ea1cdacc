// In: the caller's `import.meta.url` and a module path without its ending. Out: the URL of that module.
// The source runs as `.ts`, the published package as `.js`; a worker must be named with the right one.

export function workerUrl(callerUrl: string, pathWithoutEnding: string): URL {
  const ending = callerUrl.endsWith(".ts") ? ".ts" : ".js";
  return new URL(`${pathWithoutEnding}${ending}`, callerUrl);
}
