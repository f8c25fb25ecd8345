import { expect, test } from "vitest";
import { conform, isConformant, isDifferentiable, renderTable, testDataFolder } from "../../scripts/conformance.ts";

const folder = testDataFolder();
const isRequired = process.env.REQUIRE_REAL === "1";
if (folder === undefined && !isRequired) {
  console.log("conformance models left out: run scripts/fetch-onnx-testdata.sh to have them");
}

test.skipIf(folder === undefined && !isRequired)(
  "every conformance model that onnxruntime runs gives the same after reading and writing, and after lifting; no gradient is wrong",
  { timeout: 300_000 },
  async () => {
    if (folder === undefined) throw new Error("the conformance models are required and not there");
    const reports = await conform(folder);
    console.log(renderTable(reports));
    // Debian's package has 1,072 models: far fewer that run would mean that the check itself is broken.
    expect(reports.filter(({ runs }) => runs === true).length).toBeGreaterThan(900);
    expect(reports.filter((report) => !isConformant(report))).toEqual([]);
    expect(reports.filter(({ verified }) => verified === true).length).toBeGreaterThan(650);
    expect(reports.filter((report) => !isDifferentiable(report))).toEqual([]);
  },
);
