import { basename } from "node:path";
import { tableOf } from "./conformance.ts";
import type { ModelReport } from "./conformance-child.ts";

const heading = `# Conformance

What becomes of the models of Debian's libonnx-testdata (ONNX's own node tests, models converted from PyTorch, a few
others). \`node scripts/conformance.ts --document\` writes this page; \`scripts/fetch-onnx-testdata.sh\` fetches the models.

- **read-write identical**, **lifted identical**: results equal to the bit after the model was read and written, and
  after it was lifted to opset 21.
- **real**: has an input and a result of real numbers and draws none at random, so that it may have a gradient.
- **gradient available**: the engine gives the gradient of its results with respect to its inputs; where that is refused,
  of its first result, or with respect to its first input.
- **gradient verified**: the slope along a random direction agrees with central differences of the model to 1 % of the
  gradient's norm. That is as much as differences in float32 can show; exact checks of each rule, against float64 and
  against PyTorch, are in \`test/unit/autodiff\`.
`;

/** The page docs/conformance.md. */
export function renderDocument(reports: readonly ModelReport[]): string {
  const [titles = [], ...rows] = tableOf(reports);
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  const table = [line(titles), line(titles.map((_, index) => (index === 0 ? "---" : "---:"))), ...rows.map(line)];
  const ran = reports.filter(({ runs }) => runs === true);
  const refused = Map.groupBy(
    ran.filter(({ gradient }) => gradient !== undefined && gradient !== true && gradient !== "in part"),
    ({ gradient }) => String(gradient),
  );
  const unverified = ran.filter(({ gradient, verified }) => gradient !== undefined && typeof verified === "string");
  const names = (list: readonly ModelReport[]): string => list.map(({ model }) => `\`${basename(model)}\``).join(", ");
  const partly = ran.filter(({ gradient }) => gradient === "in part");
  return [
    heading,
    table.join("\n"),
    "\n## Refused\n",
    ...[...refused]
      .toSorted(([, a], [, b]) => b.length - a.length)
      .map(([reason, list]) => `- ${reason}: ${names(list)}`),
    "\n## Not verified\n",
    ...unverified.map(({ model, verified }) => `- \`${basename(model)}\`: ${verified}`),
    "\n## In part\n",
    `Of the first result, or with respect to the first input: ${names(partly)}.\n`,
  ].join("\n");
}
