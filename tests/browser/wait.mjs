// Waiting with a deadline that only a failure meets.
import { setTimeout as pause } from "node:timers/promises";

export const DEADLINE_MS = 20_000;

/** The outcome of a promise, or a failure that says what it waited for. */
export function within(promise, what) {
  const late = new AbortController();
  const deadline = pause(DEADLINE_MS, null, { signal: late.signal }).then(
    () => Promise.reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`)),
    () => {},
  );
  return Promise.race([promise, deadline]).finally(() => late.abort());
}
