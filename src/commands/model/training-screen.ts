import type { EpochFigures } from "../../train/trainer-state.ts";
import type { TrainingEvent } from "../../train/training-job.ts";
import { bar, sparkline } from "../terminal/chart.ts";
import { LiveLines } from "../terminal/live-lines.ts";
import { since } from "../terminal/since.ts";
import type { Io } from "../verb.ts";

const barWidth = 24;

/** Shows how a training gets on: a bar that redraws itself on a terminal, a line now and then elsewhere, or JSON lines. */
export class TrainingScreen {
  readonly #io: Io;
  readonly #isJson: boolean;
  readonly #lines: LiveLines;
  #validation: number | null = null;

  constructor(io: Io, isJson: boolean) {
    this.#io = io;
    this.#isJson = isJson;
    this.#lines = new LiveLines(io);
  }

  show(event: TrainingEvent): void {
    if (this.#isJson) this.#io.out(JSON.stringify(event));
    else this.#draw(event);
  }

  #draw(event: TrainingEvent): void {
    switch (event.event) {
      case "data": {
        const { readings, examples } = event.manifest;
        const parts = Object.entries(event.parts).map(([name, count]) => `${count} ${name}`);
        this.#say(`${readings} readings, ${examples} examples: ${parts.join(", ")}`);
        break;
      }
      case "resumed":
        this.#say(
          event.standing === "exact"
            ? `Goes on in epoch ${event.epoch}: it will end with the bytes that it would have had.`
            : `Goes on in epoch ${event.epoch}, not to the byte as it would have ended: ${event.reasons.join("; ")}.`,
        );
        break;
      case "anew":
        this.#say(`Begins anew: ${event.reasons.join("; ")}.`);
        break;
      case "waiting":
        this.#lines.show([`Waits: ${event.reason}.`], `Waits: ${event.reason}.`);
        break;
      case "progress": {
        if (event.ended) this.#validation = event.ended.validationLoss;
        const { epoch, epochs, step, steps, loss, examplesPerSecond, secondsLeft } = event;
        const share = (epoch - 1 + step / steps) / epochs;
        const facts = [
          `epoch ${epoch}/${epochs}`,
          `loss ${loss.toPrecision(4)}`,
          ...(this.#validation === null ? [] : [`validation ${this.#validation.toPrecision(4)}`]),
          `${Math.round(examplesPerSecond)} examples/s`,
          `${since(secondsLeft * 1000)} left`,
        ].join("  ");
        this.#lines.show([bar(share, barWidth), facts], facts);
        break;
      }
      default:
    }
  }

  /** The losses of all epochs, as curves. */
  curves(history: readonly EpochFigures[]): string[] {
    if (history.length < 2) return [];
    const width = Math.max(20, Math.min(100, this.#io.columns - 40));
    const curve = (name: string, values: readonly number[]): string =>
      `${name.padEnd(11)} ${sparkline(values, width)} ${values[0]?.toPrecision(3)} to ${values.at(-1)?.toPrecision(3)}`;
    const validation = history.flatMap(({ validationLoss }) => validationLoss ?? []);
    return [
      curve(
        "loss",
        history.map(({ loss }) => loss),
      ),
      ...(validation.length > 1 ? [curve("validation", validation)] : []),
    ];
  }

  #say(line: string): void {
    this.#lines.settle();
    this.#io.err(line);
  }
}
