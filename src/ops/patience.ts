/** How often the progress of a start is looked at, ms. */
const lookEveryMs = 5_000;
/** What is asked for at each sign of progress, ms: longer than any single step of a start may take. */
export const extensionMs = 90_000;

/**
 * Asks systemd for more time as long as work gets on, such as a start that plays a long backlog. Nothing is asked for
 * work that stands still: systemd's own deadline ends it.
 *
 * @param progress  grows with every step of the work
 * @param extend  asks for so many ms from now on
 * @returns what ends the asking
 */
export function askForPatience(progress: () => number, extend: (ms: number) => void): () => void {
  let seen = progress();
  const timer = setInterval(() => {
    const now = progress();
    if (now !== seen) extend(extensionMs);
    seen = now;
  }, lookEveryMs);
  return () => clearInterval(timer);
}
