/**
 * Holds acknowledgements back until what they answer for is durable.
 *
 * - They leave in the order in which their messages came (MQTT 5, 4.6), however they are released.
 * - They belong to one connection: when it closes they are discarded, never sent on the next. A broker that lost its
 *   session gives the same packet ids to other messages, and would take an old acknowledgement for one of those.
 * - Tickets grow by one over all connections, so a release that comes late frees nothing it should not.
 *
 * Nothing is allocated per message: the held ones lie in rings that double up to one slot per packet id.
 */
export class AckGate {
  readonly #send: (packetIds: Uint16Array) => void;
  /** Slot of ticket t is t & mask. */
  #ids = new Uint16Array(64);
  #hashes = new Uint32Array(64);
  /** 1: nobody will release it, it goes as soon as those before it have gone. */
  #isFree = new Uint8Array(64);
  /** Oldest ticket that is held, and the newest that was given; none is held when `#first > #last`. */
  #first = 1;
  #last = 0;

  /** @param send  writes PUBACKs for these packet ids, in this order; the array is valid during the call only */
  constructor(send: (packetIds: Uint16Array) => void) {
    this.#send = send;
  }

  /** Messages that are not acknowledged yet. */
  get held(): number {
    return this.#last - this.#first + 1;
  }

  /** The newest ticket that was given; 0 before the first. */
  get lastTicket(): number {
    return this.#last;
  }

  /** More messages cannot be under way: there are no more packet ids. */
  get isFull(): boolean {
    return this.held >= 65_535;
  }

  /** Takes in a message; `isFull` must be false. Returns its ticket. */
  hold(packetId: number, hash: number): number {
    if (this.held === this.#ids.length) this.#grow();
    const ticket = ++this.#last;
    const slot = ticket & (this.#ids.length - 1);
    this.#ids[slot] = packetId;
    this.#hashes[slot] = hash;
    this.#isFree[slot] = 0;
    return ticket;
  }

  /** Takes in a message that nobody will store: it only has to wait for its turn. */
  pass(packetId: number, hash: number): void {
    const ticket = this.hold(packetId, hash);
    this.#isFree[ticket & (this.#ids.length - 1)] = 1;
    if (ticket === this.#first) this.release(0);
  }

  /** Acknowledges every held message with this ticket or an older one. Returns how many went. */
  release(ticket: number): number {
    const mask = this.#ids.length - 1;
    let next = Math.max(this.#first, Math.min(ticket, this.#last) + 1);
    while (next <= this.#last && this.#isFree[next & mask] === 1) next++;
    const count = next - this.#first;
    if (count === 0) return 0;
    const ids = new Uint16Array(count);
    for (let at = 0; at < count; at++) ids[at] = this.#ids[(this.#first + at) & mask] ?? 0;
    this.#first = next;
    this.#send(ids);
    return count;
  }

  /** The connection has gone: discards what is held, having told what it was. */
  discard(each: (packetId: number, hash: number) => void): void {
    const mask = this.#ids.length - 1;
    for (; this.#first <= this.#last; this.#first++) {
      each(this.#ids[this.#first & mask] ?? 0, this.#hashes[this.#first & mask] ?? 0);
    }
  }

  #grow(): void {
    const from = this.#ids.length - 1;
    const ids = new Uint16Array(this.#ids.length * 2);
    const hashes = new Uint32Array(ids.length);
    const isFree = new Uint8Array(ids.length);
    for (let ticket = this.#first; ticket <= this.#last; ticket++) {
      const to = ticket & (ids.length - 1);
      ids[to] = this.#ids[ticket & from] ?? 0;
      hashes[to] = this.#hashes[ticket & from] ?? 0;
      isFree[to] = this.#isFree[ticket & from] ?? 0;
    }
    this.#ids = ids;
    this.#hashes = hashes;
    this.#isFree = isFree;
  }
}
