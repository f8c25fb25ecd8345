const durationMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const sizeBytes = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;

function parse(text: string, units: Record<string, number>): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$/.exec(text);
  const factor = match?.[2] === undefined ? undefined : units[match[2]];
  return factor === undefined ? undefined : Number(match?.[1]) * factor;
}

/** "200ms", "5s", "1.5h" to milliseconds; undefined when it is no duration. */
export const parseDuration = (text: string): number | undefined => parse(text, durationMs);

/** "120KiB", "2GiB", "4 MB" to bytes (fraction dropped); undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const bytes = parse(text, sizeBytes);
  return bytes === undefined ? undefined : Math.floor(bytes);
}

function render(value: number, units: Record<string, number>, smallest: string): string {
  const fitting = Object.entries(units).filter(([, factor]) => value >= factor && Number.isInteger(value / factor));
  const largest = fitting.reduce<[string, number] | undefined>((a, b) => (a && a[1] >= b[1] ? a : b), undefined);
  return largest ? `${value / largest[1]}${largest[0]}` : `${value}${smallest}`;
}

/** Milliseconds to the largest unit that divides them: 90000 is "90s", 3600000 is "1h". */
export const renderDuration = (ms: number): string => render(ms, durationMs, "ms");

/** Bytes for people to read: "1.4 GiB". */
export function renderBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(value) < 1024) return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}
