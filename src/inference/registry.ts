import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import { type Bundle, openBundle } from "./bundle.ts";

export type RegistryOptions = {
  /** Folders of bundles; a name is taken from the first that has it. */
  readonly dirs: readonly string[];
};

/** One line of a listing. A bundle that does not open is listed with its fault. */
export type Listing =
  | {
      readonly name: string;
      readonly dir: string;
      readonly version: number;
      readonly task: string;
      readonly hash: string;
    }
  | { readonly name: string; readonly dir: string; readonly fault: string };

const bundleName = /^[A-Za-z0-9_-]{1,64}$/;
const watchEveryMs = 2_000;

/** Finds model bundles by name: folders that hold a `card.yaml`. */
export class Registry {
  readonly dirs: readonly string[];
  /** Fingerprints as they were before each bundle was read: what changes from then on is a change. */
  readonly #opened = new Map<string, string>();

  constructor({ dirs }: RegistryOptions) {
    this.dirs = dirs;
  }

  /** All bundles, by name. */
  async list(): Promise<Listing[]> {
    const listings: Listing[] = [];
    for (const name of await this.#names()) {
      const dir = (await this.#find(name)) ?? name;
      try {
        const { card, hash } = await this.open(name);
        listings.push({ name, dir, version: card.version, task: card.task, hash });
      } catch (thrown) {
        listings.push({ name, dir, fault: reasonOf(thrown) });
      }
    }
    return listings;
  }

  /** @throws TidegateError MODEL_MISSING, FILE_UNREADABLE, CARD_INVALID */
  async open(name: string): Promise<Bundle> {
    const dir = await this.#find(name);
    if (dir === undefined) {
      const nearest = nearestName(name, await this.#names());
      const dirs = this.dirs.join(" or ") + (nearest ? ` (did you mean ${nearest}?)` : "");
      throw new TidegateError("MODEL_MISSING", { model: name, dirs, ...(nearest ? { nearest } : {}) });
    }
    this.#opened.set(name, await this.#fingerprint(name));
    const bundle = await openBundle(dir);
    if (bundle.name !== name) {
      const reason = `name: it says ${bundle.name}, its folder ${name}`;
      throw new TidegateError("CARD_INVALID", { file: join(dir, "card.yaml"), reason });
    }
    return bundle;
  }

  /**
   * Calls `onChanged` when the files of one of these bundles differ from what they were when it was opened, and have
   * stopped changing: two looks in a row find the same. By looking, since notices of the file system miss renamed folders and network mounts.
   * @returns ends the watch
   */
  watch(names: readonly string[], onChanged: (name: string) => void, everyMs = watchEveryMs): () => void {
    const settled = new Map<string, string>();
    const before = new Map<string, string>();
    const look = async (): Promise<void> => {
      for (const name of names) {
        const now = await this.#fingerprint(name);
        const isStill = before.get(name) === now;
        before.set(name, now);
        if (!settled.has(name)) settled.set(name, this.#opened.get(name) ?? now);
        if (isStill && settled.get(name) !== now) {
          settled.set(name, now);
          if (!isEnded) onChanged(name);
        }
      }
    };
    let isEnded = false;
    let last = look();
    const timer = setInterval(() => {
      last = last.then(look);
    }, everyMs);
    timer.unref();
    return () => {
      isEnded = true;
      clearInterval(timer);
    };
  }

  async #names(): Promise<string[]> {
    const names = new Set<string>();
    for (const dir of this.dirs) {
      const entries = await readdir(dir).catch(() => []);
      for (const entry of entries) if (bundleName.test(entry) && (await isBundle(join(dir, entry)))) names.add(entry);
    }
    return [...names].sort();
  }

  async #find(name: string): Promise<string | undefined> {
    if (!bundleName.test(name)) return undefined;
    for (const dir of this.dirs) if (await isBundle(join(dir, name))) return join(dir, name);
    return undefined;
  }

  async #fingerprint(name: string): Promise<string> {
    const dir = await this.#find(name);
    if (dir === undefined) return "";
    const files = await readdir(dir).catch(() => []);
    const marks = await Promise.all(
      files.sort().map(async (file) => {
        const status = await stat(join(dir, file)).catch(() => undefined);
        return `${file}:${status?.ino}:${status?.size}:${status?.mtimeMs}`;
      }),
    );
    return [dir, ...marks].join("\n");
  }
}

const isBundle = (dir: string): Promise<boolean> =>
  stat(join(dir, "card.yaml")).then(
    (status) => status.isFile(),
    () => false,
  );
