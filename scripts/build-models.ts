import { join, resolve } from "node:path";
import type { BuildModel } from "./models/build.ts";
import { writeBundle } from "./models/bundle-writer.ts";
import { charLm } from "./models/char-lm.ts";
import { digitsCnn } from "./models/digits-cnn.ts";
import { housePrices } from "./models/house-prices.ts";
import { linearRegression } from "./models/linear-regression.ts";
import { moteAnomaly } from "./models/mote-anomaly.ts";
import { moteForecast } from "./models/mote-forecast.ts";
import { spamText } from "./models/spam-text.ts";

/** Every bundle that ships, and what builds it. */
const recipes: Readonly<Record<string, BuildModel>> = {
  "linear-regression": linearRegression,
  "house-prices": housePrices,
  "mote-anomaly": moteAnomaly,
  "mote-forecast": moteForecast("gru"),
  "mote-forecast-rnn": moteForecast("rnn"),
  "mote-forecast-lstm": moteForecast("lstm"),
  "digits-cnn": digitsCnn,
  "spam-text": spamText,
  "char-lm": charLm,
};

/** Builds bundles from their data: `npm run models -- [NAME…] [--out FOLDER]`. */
const words = process.argv.slice(2);
const at = words.indexOf("--out");
const out = at < 0 ? resolve(import.meta.dirname, "../models") : resolve(words[at + 1] ?? "");
const asked = words.filter((word, index) => !word.startsWith("--") && (at < 0 || index !== at + 1));
const unknown = asked.find((name) => !Object.hasOwn(recipes, name));
if (unknown !== undefined) {
  console.error(`There is no model ${unknown}: ${Object.keys(recipes).join(", ")}.`);
  process.exit(64);
}
for (const [name, build] of Object.entries(recipes)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const began = performance.now();
  await build({
    tell: (line) => console.log(line),
    write: (model, card, golden) => writeBundle(join(out, name), model, card, golden),
  });
  console.log(`${name}: written in ${((performance.now() - began) / 1000).toFixed(1)} s`);
}
