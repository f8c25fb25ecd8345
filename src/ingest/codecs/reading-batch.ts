import { TidegateError } from "../../base/errors.ts";

const maxReadings = 65_536;
/** Readings whose memory is kept for the next payload. */
const keptCapacity = 1_024;

/** The readings of one payload, row by row. Reused from payload to payload, so that decoding allocates nothing. */
export class ReadingBatch {
  readonly width: number;
  /** Number of readings. */
  count = 0;
  /** Fields that the payload lacked. */
  skipped = 0;
  /** Readings that had none of the fields, and were left out. */
  empty = 0;
  /** Row by row, NaN where a field is missing [count * width]. */
  values: Float64Array;
  /** Sensor time, integer ms since 1970 UTC, NaN where there is none [count]. */
  ts: Float64Array;

  constructor(width: number) {
    this.width = width;
    this.values = new Float64Array(width);
    this.ts = new Float64Array(1);
  }

  clear(): void {
    if (this.ts.length > keptCapacity) {
      this.values = new Float64Array(this.width);
      this.ts = new Float64Array(1);
    }
    this.count = 0;
    this.skipped = 0;
    this.empty = 0;
  }

  /**
   * Adds a reading without values and without time. `values` and `ts` may be others afterwards.
   * @returns offset of its row in `values`
   * @throws TidegateError PAYLOAD_TOO_LARGE
   */
  add(): number {
    if (this.count === this.ts.length) this.#grow();
    const offset = this.count * this.width;
    for (let i = 0; i < this.width; i++) this.values[offset + i] = Number.NaN;
    this.ts[this.count++] = Number.NaN;
    return offset;
  }

  /** Counts what the newest reading lacks; one that lacks every field is taken back. */
  settle(): void {
    const offset = (this.count - 1) * this.width;
    let missing = 0;
    for (let i = 0; i < this.width; i++) if (Number.isNaN(this.values[offset + i])) missing++;
    this.skipped += missing;
    if (this.width > 0 && missing === this.width) {
      this.count--;
      this.empty++;
    }
  }

  #grow(): void {
    if (this.count >= maxReadings) {
      const facts = { actual: `more than ${maxReadings}`, unit: "readings", limit: maxReadings };
      throw new TidegateError("PAYLOAD_TOO_LARGE", facts);
    }
    const capacity = Math.min(maxReadings, this.count * 4);
    const values = new Float64Array(capacity * this.width);
    values.set(this.values);
    this.values = values;
    const ts = new Float64Array(capacity);
    ts.set(this.ts);
    this.ts = ts;
  }
}
