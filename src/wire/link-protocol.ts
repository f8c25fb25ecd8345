export type ProtocolVersion = 4 | 5;

/**
 * Chooses the protocol of the next attempt: 5 first, 3.1.1 when 5 is refused.
 *
 * A refusal in words holds for good. Brokers older than that just close the connection, which may also mean that they
 * were going down: so it takes two such closes in a row, and the next connection asks for 5 again.
 */
export class ProtocolChoice {
  readonly #isFixed: boolean;
  #version: ProtocolVersion;
  #silentCloses = 0;
  #isSettled: boolean;

  constructor(protocol: "auto" | "5" | "3.1.1") {
    this.#isFixed = protocol !== "auto";
    this.#isSettled = this.#isFixed;
    this.#version = protocol === "3.1.1" ? 4 : 5;
  }

  next(): ProtocolVersion {
    return this.#version;
  }

  /** The broker answered and took the version. */
  accepted(): void {
    if (this.#isSettled) return;
    // One more close without a word is enough to come back here.
    this.#silentCloses = this.#version === 5 ? 0 : 1;
    this.#version = 5;
  }

  /** The broker said that it does not speak the version. Returns whether another attempt makes sense at once. */
  refused(): boolean {
    if (this.#isFixed) return false;
    const wasFive = this.#version === 5;
    this.#version = wasFive ? 4 : 5;
    this.#isSettled = wasFive;
    return wasFive;
  }

  /** The broker took the connection and closed it without a word. */
  closedSilently(): void {
    if (this.#isSettled) return;
    if (this.#version === 4) {
      this.#version = 5;
      this.#silentCloses = 0;
    } else if (++this.#silentCloses >= 2) this.#version = 4;
  }
}
