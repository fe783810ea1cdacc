// In: exchanges that came as far in one turn of the event loop. Out: they go on together when its sockets are read.
// An exchange walks through more code than a core's caches hold. Those that wait for each other here are resumed in a row,
// and from then on they take turns at every `await`: each step of the walk is made for all of them while its code is still
// at hand. On an idle thread the wait is the rest of one turn, some microseconds.

/** Resolves at the end of this turn, for all who wait in the order in which they came. */
export function createLoopTurn(): () => Promise<void> {
  let turn: Promise<void> | undefined;
  return () =>
    (turn ??= new Promise((resolve) => {
      setImmediate(() => {
        turn = undefined;
        resolve();
      });
    }));
}
