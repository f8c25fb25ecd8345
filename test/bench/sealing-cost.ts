import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ephemeralKeyRing } from "../../src/crypto/key-ring.ts";
import { openDocument, signDocument } from "../../src/crypto/signed-document.ts";
import type { BenchOptions } from "./bench-options.ts";
import { runGateway } from "./ingest.ts";
import { median, type Row } from "./measure.ts";

const cipher = resolve(import.meta.dirname, "null-cipher.ts");

/** CPU time per message of the whole gateway with sealing and with a null cipher, by turns. */
export async function sealingCost({ pairs, messages = 150_000 }: BenchOptions): Promise<Row> {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-bench-cipher-"));
  const mark = join(dir, "mark");
  const env = { NODE_OPTIONS: `--import=${cipher}`, BENCH_NULL_CIPHER: mark };
  const per = async (settings: Parameters<typeof runGateway>[1]) => {
    const { cpuSeconds, count } = await runGateway(messages, settings);
    return (cpuSeconds / count) * 1e6;
  };
  try {
    const runs: [sealed: number, plain: number][] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const isFirst = pair % 2 === 0;
      const [one, other] = [await per(isFirst ? {} : { env }), await per(isFirst ? { env } : {})];
      runs.push(isFirst ? [one, other] : [other, one]);
    }
    if (!existsSync(mark)) throw new Error("the null cipher was not loaded");
    const [value, plain] = [median(runs.map(([sealed]) => sealed)), median(runs.map(([, plain]) => plain))];
    const ratio = median(runs.map(([sealed, plain]) => sealed / plain));
    const against = `${plain.toFixed(1)} us with a null cipher`;
    const goal = { goal: "<= 1.15 x", met: ratio <= 1.15 };
    return { what: "ingest, sealed: CPU per message", value, unit: "us", against, ratio, ...goal };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const rounds = 5_000;

/** Time to open a signed command: envelope, signature, document. */
export function commandCost(): Row {
  const { signer } = ephemeralKeyRing();
  const head = { kind: "command", audience: "demo/gw-1", version: 7, challenge: "0".repeat(32) };
  const document = { ...head, name: "data.erase", params: { stream: "env", source: "mote1" } };
  const envelope = JSON.stringify(signDocument(document, [signer]));
  const trust = { kind: "command", audience: "demo/gw-1", trusted: [signer.publicKey] };
  const times = Array.from({ length: rounds }, () => {
    const start = performance.now();
    openDocument(envelope, trust);
    return performance.now() - start;
  });
  return { what: "a signed command: verified and opened", value: median(times), unit: "ms" };
}
