import { defineConfig } from "vitest/config";

const results = process.env.TIDEGATE_TEST_RESULTS;

export default defineConfig({
  test: {
    include: ["test/{unit,property,integration,crash}/**/*.test.ts"],
    // Real brokers, real children and real disks: a test that hangs is a bug, not a reason to wait.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
    reporters: results ? ["default", "json"] : ["default"],
    ...(results ? { outputFile: { json: results } } : {}),
  },
});
