const largest = 65_535;
const nobody = () => {};

/** Packet ids of one connection, and who waits for the broker's answer to them. Fits where mqtt.js asks for ids. */
export class PacketIds {
  #last = 0;
  readonly #waiting = new Map<number, (code: number) => void>();

  /** An id whose answer is waited for; there must be fewer than 65,535 of them. */
  take(done: (code: number) => void = nobody): number {
    const id = this.allocate();
    this.#waiting.set(id, done);
    return id;
  }

  /** The broker's answer: whoever waits for it is told. */
  answer(id: number, code: number): void {
    const done = this.#waiting.get(id);
    if (this.#waiting.delete(id)) done?.(code);
  }

  /** An id that nobody waits for. */
  allocate(): number {
    do this.#last = (this.#last % largest) + 1;
    while (this.#waiting.has(this.#last));
    return this.#last;
  }

  getLastAllocated(): number {
    return this.#last;
  }

  register(): boolean {
    return true;
  }

  deallocate(): void {}

  clear(): void {}
}
