// In: the clock that all threads of this process share. Out: `Date` of the calling thread tells its time, for good.
// oidc-provider and jose take no clock of a caller. By the wall clock, a step back would make an assertion whose id was
// forgotten fresh again, and any step would date tokens so that the data threads beside this one refuse them.
import type { Clock } from "../lib/clock.ts";

export function useProcessClock(clock: Clock): void {
  globalThis.Date = new Proxy(Date, {
    construct: (date, given: unknown[], newTarget) =>
      Reflect.construct(date, given.length === 0 ? [clock.nowMs()] : given, newTarget) as object,
    get: (date, name) => (name === "now" ? clock.nowMs : (Reflect.get(date, name) as unknown)),
  });
}
