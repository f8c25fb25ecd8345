import { TidegateError } from "../base/errors.ts";
import { fingerprint } from "../crypto/signing.ts";
import { decodeBatch } from "../wire/batch.ts";
import { batchReader, type KeyChoice, readBatchFile } from "./data/batch-reader.ts";
import { configOption, type Define, jsonOption } from "./verb.ts";

type Options = KeyChoice & { json?: boolean; head?: boolean };

export const define: Define = (command, io) => {
  command
    .command("open")
    .description("open a sealed batch, as a gateway sent it, and print its lines (NDJSON)")
    .argument("<file>", "the batch: the payload of one message; `-`: standard input")
    .option("--key <file>", "data key: the file box.key of the sink")
    .option("--dir <folder>", "data directory of the sink, whose data key is used")
    .option("--signer <key>", "demand this signer: the gateway's `signing` public key or fingerprint")
    .option("--head", "print what the batch says of itself, not its lines")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate data open batch.bin --key /var/lib/tidegate-sink/keys/box.key\nTo catch one: mosquitto_sub -h BROKER -t 'tidegate/v1/+/gateways/+/data/#' -C 1 -N > batch.bin",
    )
    .action(async (file: string, options: Options) => {
      const reader = batchReader(io, options);
      const { head, lines } = await decodeBatch(readBatchFile(file), reader);
      const signer = fingerprint(head.signer);
      const facts = { ...head, signer };
      if (options.signer === undefined)
        io.err(`Signed by the key ${signer}, which was compared with none: --signer demands one.`);
      if (options.json)
        return io.out(JSON.stringify(options.head ? facts : { head: facts, lines: lines.map(parseLine) }));
      if (options.head) for (const [name, value] of Object.entries(facts)) io.out(`${name}: ${String(value)}`);
      else for (const line of lines) io.out(line);
    });
};

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new TidegateError("BATCH_INVALID", { reason: "a line of it is not JSON" }, { cause });
  }
}
