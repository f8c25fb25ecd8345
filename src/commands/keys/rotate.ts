import type { Command } from "commander";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { AuditLog } from "../../control/audit.ts";
import { formerBoxes, retireBoxes, rotateBox, rotateSigning } from "../../crypto/key-rotation.ts";
import { openStore } from "../buffer/journal-access.ts";
import { loadFor } from "../load-configuration.ts";
import { configOption, type Io, jsonOption } from "../verb.ts";
import { askDaemon } from "./beside-daemon.ts";
import { handOver } from "./describe-keys.ts";
import { dirOption, type KeyOptions, placeFor } from "./place.ts";

type Options = KeyOptions & { box?: boolean; storage?: boolean; signing?: boolean };
type Rotated = { readonly rotations: number };

/** `keys rotate` and `keys retire`. */
export function defineRotation(command: Command, io: Io): void {
  command
    .command("rotate")
    .description("put a new key in place of one: of what is stored, of what is sealed to this place, or of what signs")
    .option("--box", "the box key, a sink's data key; the old one still opens what is under way (default)")
    .option("--storage", "the key that all keys of stored data are wrapped with; online, what is stored stays readable")
    .option("--signing", "the signing key; whoever trusts the old one has to be told of the new one")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      `
Example: tidegate keys rotate --storage
--storage: through the running daemon, else on the data directory. Copies of the databases from before open no more.
--box: a running sink takes the new key up within a second and announces it; gateways with cloud.dataSigner switch by themselves. Where
  cloud.dataKey is set, change it. Once all have switched: tidegate keys retire.
--signing: the daemon signs with the old key until its next start. Before that let the new one in: at the sink
  \`tidegate keys trust FLEET/GATEWAY KEY --dir …\`, at the coordinator \`tidegate fleet enroll GATEWAY --key KEY\`.`,
    )
    .action(async (options: Options) => {
      const { box, storage, signing } = options;
      if ([box, storage, signing].filter(Boolean).length > 1)
        throw new TidegateError("USAGE", { detail: "one key at a time: --box, --storage or --signing" });
      if (storage) return tellStorage(io, options, await rotateStorage(io, options));
      const place = await placeFor(io, options);
      const { dataDir: dir } = place;
      const publicKey = Buffer.from(signing ? rotateSigning(place) : rotateBox(place)).toString("base64");
      handOver(dir);
      if (signing) {
        if (options.json) return io.out(JSON.stringify({ dir, publicKey }));
        io.out(`${dir}: from the next start on it signs with ${publicKey}.`);
        io.err("Before that let sink and coordinator trust it, and back it up (`tidegate keys backup FILE`).");
        return;
      }
      const former = formerBoxes(place).length;
      if (options.json) return io.out(JSON.stringify({ dir, publicKey, former }));
      io.out(`${dir}: the data key is now ${publicKey}; ${former} before it still open.`);
      io.err("A running sink announces it within a second. Back it up (`tidegate keys backup FILE`).");
    });

  command
    .command("retire")
    .description("remove the data keys before the one in use: what was sealed to them opens no more")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText("after", "\nExample: tidegate keys retire --dir /var/lib/tidegate-sink")
    .action(async (options: KeyOptions) => {
      const place = await placeFor(io, options);
      const { dataDir } = place;
      const retired = retireBoxes(place);
      if (options.json) return io.out(JSON.stringify({ dir: dataDir, retired }));
      io.out(
        retired === 0 ? `${dataDir} has no earlier data keys.` : `${dataDir}: ${retired} earlier data keys removed.`,
      );
    });
}

/** Through the running daemon, else on the data directory itself. */
async function rotateStorage(io: Io, options: KeyOptions): Promise<Rotated> {
  if (options.dir !== undefined)
    throw new TidegateError("USAGE", { detail: "--storage is of a gateway: name its configuration, not a folder" });
  const told = await askDaemon<Rotated>(io, options, "keys.rotate");
  if (told) return told;
  const { store } = await openStore(io, loadFor(io, options));
  try {
    const rotated = store.rotateKeys();
    const rows = { auditAppend: async (body: Uint8Array) => store.auditAppend(body) };
    const audit = new AuditLog({ rows, clock: systemClock });
    await audit.append({ what: "site", outcome: "done", name: "keys.rotate", by: ["site"], detail: rotated });
    return rotated;
  } finally {
    store.close();
  }
}

function tellStorage(io: Io, options: KeyOptions, { rotations }: Rotated): void {
  if (options.json) {
    io.out(JSON.stringify({ rotations }));
    return;
  }
  io.out(
    `The key-encryption key was replaced (number ${rotations}): copies of the databases from before open no more.`,
  );
  io.err("A backup of the data from before is worth nothing without the keys/epoch of its time: make a new one.");
}
