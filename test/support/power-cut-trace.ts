import { readFileSync } from "node:fs";

/**
 * One call that took effect, as test/crash/shim/record-writes.c records it. `name` is that of a file, "" the
 * directory's; `sent` went to a socket.
 */
export type TraceEvent =
  | { readonly kind: "begin" }
  | {
      readonly kind: "open";
      readonly handle: number;
      readonly name: string;
      readonly isMade: boolean;
      readonly isEmptied: boolean;
    }
  | { readonly kind: "write"; readonly handle: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly handle: number; readonly size: number }
  | { readonly kind: "sync" | "failed-sync"; readonly handle: number }
  | { readonly kind: "sent"; readonly handle: number; readonly bytes: Uint8Array }
  | { readonly kind: "unlink"; readonly name: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string };

const headBytes = 17;

/** Reads a trace, in order. Handles count from one again after each `begin`. */
export function readTrace(file: string): TraceEvent[] {
  const bytes = readFileSync(file);
  const events: TraceEvent[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = bytes.readUInt32LE(at + 13);
    const end = at + headBytes + length;
    if (end > bytes.length) throw new Error(`the trace is cut off at byte ${at}`);
    events.push(
      parse(
        String.fromCharCode(bytes.readUInt8(at)),
        bytes.readUInt32LE(at + 1),
        Number(bytes.readBigUInt64LE(at + 5)),
        bytes.subarray(at + headBytes, end),
      ),
    );
    at = end;
  }
  return events;
}

function parse(kind: string, handle: number, offset: number, bytes: Buffer): TraceEvent {
  const name = () => bytes.toString("utf8");
  switch (kind) {
    case "S":
      return { kind: "begin" };
    case "O":
      return { kind: "open", handle, name: name(), isMade: (offset & 1) !== 0, isEmptied: (offset & 2) !== 0 };
    case "W":
      return { kind: "write", handle, offset, bytes };
    case "T":
      return { kind: "truncate", handle, size: offset };
    case "F":
      return { kind: "sync", handle };
    case "E":
      return { kind: "failed-sync", handle };
    case "N":
      return { kind: "sent", handle, bytes };
    case "U":
      return { kind: "unlink", name: name() };
    case "R": {
      const [from = "", to = ""] = name().split("\0");
      return { kind: "rename", from, to };
    }
    default:
      throw new Error(`a record of kind ${kind} is in the trace`);
  }
}
