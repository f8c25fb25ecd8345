import { wrap } from "../terminal/wrap.ts";
import type { Finding } from "./finding.ts";

const marks = { ok: "ok  ", warn: "WARN", fail: "FAIL" } as const;

/** Findings as one screen: what was seen, and under it what to do; the count comes last. */
export function renderFindings(findings: readonly Finding[], columns: number): string[] {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const indent = " ".repeat(width + 8);
  const room = Math.max(40, columns - indent.length);
  const lines = findings.flatMap(({ name, level, detail, remedy }) => {
    const [first = "", ...rest] = detail.split("\n").flatMap((line) => wrap(line, room));
    const todo = remedy === "" ? [] : wrap(`-> ${remedy}`, room);
    return [
      `${marks[level]}  ${name.padEnd(width)}  ${first}`,
      ...[...rest, ...todo].map((line) => `${indent}${line}`),
    ];
  });
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  return [...lines, "", `${count("ok")} in order, ${count("warn")} to look at, ${count("fail")} failed`];
}
