import type { Journal } from "../buffer/journal.ts";
import type { EraseNotice } from "../wire/erase-notice.ts";
import type { OwedSource } from "../wire/owed-source.ts";

/**
 * What the sink has not been told of erasures: a lane of its own, numbered as the erasures are. It stands in state.db,
 * so that it is not lost with a damaged buffer.db.
 * @param stream  whose topic a notice takes that names no stream
 */
export async function erasureSource(
  journal: Pick<Journal, "eraseNotices" | "eraseTold" | "eraseToldUpTo">,
  stream: string,
): Promise<OwedSource> {
  return {
    lane: "erase",
    settledUpTo: await journal.eraseToldUpTo(),
    async load(n, limit) {
      const notices = await journal.eraseNotices(n, limit);
      return notices.map(({ number, request, at, upTo }) => {
        const body = Buffer.from(JSON.stringify({ request, at, upTo } satisfies EraseNotice));
        return { n: number, stream: request.stream ?? stream, kind: "erase", at, body } as const;
      });
    },
    settle: (upTo) => journal.eraseTold(upTo),
    newest: async (n) => (await journal.eraseNotices(n, Number.MAX_SAFE_INTEGER)).at(-1)?.number ?? n,
  };
}
