import { TidegateError } from "../../base/errors.ts";
import { isToken, newHttpToken, readHttpToken } from "../../crypto/http-token.ts";
import type { KeyRingOptions } from "../../crypto/key-ring.ts";
import type { ControlHandler } from "../../ops/control-server.ts";
import { describeKeys } from "../keys/describe-keys.ts";

/**
 * What the daemon does with its keys for whoever may command it: keys that only the unit can read are shown and the token
 * is told through the control socket. No secret key ever goes that way.
 */
export class KeyDesk {
  readonly #place: KeyRingOptions;
  #token: string | null = null;

  constructor(place: KeyRingOptions) {
    this.#place = place;
  }

  /** Makes the HTTP token where there is none yet. @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED, KEY_UNWRITABLE */
  openToken(): string {
    const { dataDir } = this.#place;
    this.#token = readHttpToken(dataDir) ?? newHttpToken(dataDir);
    return this.#token;
  }

  isTokenValid(guess: string): boolean {
    return isToken(this.#token, guess);
  }

  readonly handlers: Readonly<Record<string, ControlHandler>> = {
    "keys.show": async () => ({ dir: this.#place.dataDir, keys: describeKeys(this.#place) }),
    "keys.token": async ({ isNew }) => {
      if (isNew !== undefined && typeof isNew !== "boolean")
        throw new TidegateError("USAGE", { detail: "keys.token: isNew is true or false" });
      if (isNew === true) this.#token = newHttpToken(this.#place.dataDir);
      return { token: isNew === true ? this.#token : this.openToken() };
    },
  };
}
