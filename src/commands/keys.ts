import { TidegateError } from "../base/errors.ts";
import { openKeyRing } from "../crypto/key-ring.ts";
import { readBackup, writeBackup } from "./keys/backup-file.ts";
import { askDaemon } from "./keys/beside-daemon.ts";
import { describeKeys, handOver, type KeyDescriptions } from "./keys/describe-keys.ts";
import { readPassphrase } from "./keys/passphrase.ts";
import { dirOption, type KeyOptions, placeFor } from "./keys/place.ts";
import { defineAdopt, defineToken } from "./keys/place-verbs.ts";
import { defineRotation } from "./keys/rotate.ts";
import { defineTrust } from "./keys/trust.ts";
import { renderTable } from "./terminal/table.ts";
import { configOption, type Define, type Io, jsonOption } from "./verb.ts";

type WithPassphrase = KeyOptions & { passphraseFile?: string };
type Shown = { readonly dir: string; readonly keys: KeyDescriptions };

const passphraseOption = [
  "--passphrase-file <file>",
  "read the passphrase from its first line; `-`: standard input",
] as const;

export const define: Define = (command, io) => {
  command
    .command("new")
    .description("make the keys of an empty data directory; none is ever replaced")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .option(
      "--passphrase-file <file>",
      "put them under the passphrase in its first line (scrypt); `-`: standard input. Else each lies in a file, mode 0600",
    )
    .addHelpText(
      "after",
      "\nExample: tidegate keys new --dir /var/lib/tidegate\nThe first `tidegate run` makes them, too. Back them up at once: `tidegate keys backup`.",
    )
    .action(async (options: WithPassphrase) => {
      const given = await placeFor(io, options);
      const { passphraseFile } = options;
      const place =
        passphraseFile === undefined ? given : { ...given, passphrase: await passphraseOf(io, options, true) };
      const { isNew } = openKeyRing(place);
      if (isNew) handOver(place.dataDir);
      const keys = describeKeys(place);
      if (options.json) return io.out(JSON.stringify({ dir: place.dataDir, isNew, keys }));
      io.out(isNew ? `Keys made for ${place.dataDir}:` : `${place.dataDir} has its keys already: none was made.`);
      for (const line of keyLines(keys)) io.out(line);
      if (isNew) io.err("Back them up now (`tidegate keys backup FILE`): without them nobody can read the data.");
    });

  command
    .command("show")
    .description("print public keys and fingerprints; secrets are never shown")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      "\nExample: tidegate keys show\nKeys that only the unit can read are shown by the running daemon, through its control socket.\nThe public key of `box` on a sink is what its gateways have as cloud.dataKey.",
    )
    .action(async (options: KeyOptions) => {
      const { dir, keys } = await shown(io, options);
      if (options.json) return io.out(JSON.stringify({ dir, keys }));
      for (const line of keyLines(keys)) io.out(line);
    });

  defineRotation(command, io);
  defineTrust(command, io);
  defineToken(command, io);
  defineAdopt(command, io);

  command
    .command("backup")
    .description("write the keys to a file, sealed under a passphrase")
    .argument("<file>", "file to write; it must not be there yet")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .option(...passphraseOption)
    .addHelpText(
      "after",
      "\nExample: tidegate keys backup gw-1.keys.json\nThe keys alone do not open a copy of buffer.db: state.db is part of a backup of the data.",
    )
    .action(async (file: string, options: WithPassphrase) => {
      const place = await placeFor(io, options);
      // Before anyone is asked to think of a passphrase.
      describeKeys(place);
      const { fingerprints } = writeBackup(file, place, await passphraseOf(io, options, true));
      if (options.json) return io.out(JSON.stringify({ file, fingerprints }));
      io.out(`${file}: the keys of ${place.dataDir}. It is worth nothing without the passphrase: keep that elsewhere.`);
    });

  command
    .command("restore")
    .description("put the keys of a backup into a data directory; other keys there are not replaced")
    .argument("<file>", "file that `keys backup` wrote")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .option(...passphraseOption)
    .addHelpText("after", "\nExample: tidegate keys restore gw-1.keys.json --dir /var/lib/tidegate")
    .action(async (file: string, options: WithPassphrase) => {
      const { dataDir } = await placeFor(io, options);
      const { restored, former } = await readBackup(file, dataDir, () => passphraseOf(io, options, false));
      if (restored.length + former > 0) handOver(dataDir);
      if (options.json) return io.out(JSON.stringify({ dir: dataDir, restored, former }));
      const names = [...restored, ...(former > 0 ? [`${former} earlier box keys`] : [])];
      io.out(`${dataDir}: ${names.length > 0 ? `restored: ${names.join(", ")}` : "the same keys are there already"}`);
    });
};

const passphraseOf = (io: Io, { passphraseFile }: WithPassphrase, isNew: boolean): Promise<string> =>
  readPassphrase(passphraseFile, { isNew, signal: io.signal });

/** From the files; where this user cannot read them, or they are not there, by the daemon that holds them. */
async function shown(io: Io, options: KeyOptions): Promise<Shown> {
  try {
    const place = await placeFor(io, options);
    return { dir: place.dataDir, keys: describeKeys(place) };
  } catch (thrown) {
    const told =
      thrown instanceof TidegateError && thrown.code !== "CONFIG_INVALID"
        ? await askDaemon<Shown>(io, options, "keys.show")
        : undefined;
    if (told === undefined) throw thrown;
    return told;
  }
}

const keyLines = (keys: KeyDescriptions): string[] =>
  renderTable(
    ["key", "fingerprint", "public key", "file"],
    Object.entries(keys).map(([name, { fingerprint, publicKey, file }]) => [name, fingerprint, publicKey, file]),
  );
