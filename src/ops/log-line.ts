/** One logged event as it is rendered: pino's line, parsed. */
type Entry = { readonly level: string; readonly time: string; readonly event: string } & Record<string, unknown>;

const colours: Record<string, string> = {
  trace: "\x1b[2m",
  debug: "\x1b[2m",
  info: "\x1b[32m",
  warn: "\x1b[33m",
  error: "\x1b[31m",
};
const dim = "\x1b[2m";
const reset = "\x1b[0m";

/** Severities of syslog, by which journald sorts (`journalctl -p warning`). */
const severities: Record<string, number> = { trace: 7, debug: 7, info: 6, warn: 4, error: 3 };

/**
 * A logged line for people: local time, level, event, then the facts as `name=value`. What peers sent cannot move the
 * cursor: every control character is written as its escape.
 *
 * @param line  one JSON line of the log
 */
export function renderForPeople(line: string, isColoured: boolean): string {
  const entry = parse(line);
  if (entry === null) return line;
  const { level, time, event, ...facts } = entry;
  const paint = (colour: string, text: string) => (isColoured && text !== "" ? `${colour}${text}${reset}` : text);
  const pairs = Object.entries(facts).map(([name, value]) => `${plain(name)}=${valueText(value)}`);
  const head = `${clockTime(time)} ${paint(colours[level] ?? "", level.toUpperCase().padEnd(5))} ${plain(event)}`;
  return pairs.length === 0 ? `${head}\n` : `${head}  ${paint(dim, pairs.join(" "))}\n`;
}

/** The same JSON line with the mark by which journald knows how grave it is; journald takes the mark off. */
export function renderForJournal(line: string): string {
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1] ?? "info";
  return `<${severities[level] ?? 6}>${line}`;
}

function parse(line: string): Entry | null {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    const { level, time, event } = entry;
    if (typeof level !== "string" || typeof time !== "string") return null;
    return { ...entry, level, time, event: typeof event === "string" ? event : "" };
  } catch {
    return null;
  }
}

function clockTime(iso: string): string {
  const date = new Date(iso);
  const two = (value: number) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

function valueText(value: unknown): string {
  if (typeof value === "string") return /^[^\s"=\p{C}]+$/u.test(value) ? value : plain(JSON.stringify(value));
  return plain(JSON.stringify(value) ?? "undefined");
}

const plain = (text: string): string =>
  text.replace(/\p{C}/gu, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
