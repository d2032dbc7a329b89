/** When to try again. */

const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/**
 * How long to wait after *failures* failures in a row, in milliseconds.
 *
 * Between half of and the whole of `min(60 s, 1 s · 2^(failures - 1))`, chosen at random, so that a
 * class that lost its network together does not come back together. A server's own wish is a floor,
 * and the jitter comes on top of it.
 */
export function delayAfter(failures: number, retryAfterMs: number | null, random: () => number): number {
  const step = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, failures - 1));
  if (retryAfterMs !== null) return retryAfterMs + random() * Math.min(step, Math.max(retryAfterMs, FIRST_MS));
  return step / 2 + (random() * step) / 2;
}
