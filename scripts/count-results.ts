/** Prints "passed failed skipped" from vitest's JSON report: node scripts/count-results.ts FILE */
import { readFileSync } from "node:fs";

type Report = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
};

const report = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Report;
// A file that failed to load has no tests to fail: it counts as one.
const brokenFiles = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
const failed = report.numFailedTests + brokenFiles.length;
console.log(report.numPassedTests, failed, report.numPendingTests + report.numTodoTests);
