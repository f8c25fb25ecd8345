import { formerBoxes, retireBoxes, rotateBox } from "../crypto/box-rotation.ts";
import { openKeyRing } from "../crypto/key-ring.ts";
import { readBackup, writeBackup } from "./keys/backup-file.ts";
import { describeKeys, handOver } from "./keys/describe-keys.ts";
import { readPassphrase } from "./keys/passphrase.ts";
import { loadFor } from "./load-configuration.ts";
import { renderTable } from "./terminal/table.ts";
import { configOption, type Define, type Io, jsonOption } from "./verb.ts";

type Options = { config?: string; json?: boolean; dir?: string };

const dirOption = [
  "--dir <folder>",
  "data directory that the keys are for (default: that of the configuration)",
] as const;
const passphraseOption = [
  "--passphrase-file <file>",
  "read the passphrase from its first line; `-`: standard input",
] as const;

/** Of the data directory that is named, or of the configuration; credentials of the unit come first. */
function placeOf(io: Io, options: Options): { dataDir: string; credentialsDir?: string | undefined } {
  const dataDir = options.dir ?? loadFor(io, options).config.gateway.dataDir;
  return { dataDir, credentialsDir: io.env.CREDENTIALS_DIRECTORY };
}

export const define: Define = (command, io) => {
  command
    .command("new")
    .description("make the keys of an empty data directory; none is ever replaced")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      "\nExample: tidegate keys new --dir /var/lib/tidegate\nThe first `tidegate run` makes them, too. Back them up at once: `tidegate keys backup`.",
    )
    .action((options: Options) => {
      const place = placeOf(io, options);
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
      "\nExample: tidegate keys show\nThe public key of `box` on a sink is what its gateways have as cloud.dataKey.",
    )
    .action((options: Options) => {
      const place = placeOf(io, options);
      const keys = describeKeys(place);
      if (options.json) return io.out(JSON.stringify({ dir: place.dataDir, keys }));
      for (const line of keyLines(keys)) io.out(line);
    });

  command
    .command("rotate")
    .description("put a new data key in place of a sink's `box` key; the old one still opens what is under way")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      "\nExample: tidegate keys rotate --dir /var/lib/tidegate-sink\nThen restart the sink: it announces the new key, and gateways with cloud.dataSigner switch by themselves. Where\ncloud.dataKey is set, change it. Once all have switched: tidegate keys retire.",
    )
    .action((options: Options) => {
      const place = placeOf(io, options);
      const publicKey = Buffer.from(rotateBox(place)).toString("base64");
      handOver(place.dataDir);
      const former = formerBoxes(place).length;
      if (options.json) return io.out(JSON.stringify({ dir: place.dataDir, publicKey, former }));
      io.out(`${place.dataDir}: the data key is now ${publicKey}; ${former} before it still open.`);
      io.err("Restart the sink, so that it announces the new key, and back it up (`tidegate keys backup FILE`).");
    });

  command
    .command("retire")
    .description("remove the data keys before the one in use: what was sealed to them opens no more")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText("after", "\nExample: tidegate keys retire --dir /var/lib/tidegate-sink")
    .action((options: Options) => {
      const { dataDir } = placeOf(io, options);
      const retired = retireBoxes({ dataDir });
      if (options.json) return io.out(JSON.stringify({ dir: dataDir, retired }));
      io.out(
        retired === 0 ? `${dataDir} has no earlier data keys.` : `${dataDir}: ${retired} earlier data keys removed.`,
      );
    });

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
    .action(async (file: string, options: Options & { passphraseFile?: string }) => {
      const place = placeOf(io, options);
      // Before anyone is asked to think of a passphrase.
      describeKeys(place);
      const passphrase = await readPassphrase(options.passphraseFile, { isNew: true, signal: io.signal });
      const { fingerprints } = await writeBackup(file, place, passphrase);
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
    .action(async (file: string, options: Options & { passphraseFile?: string }) => {
      const { dataDir } = placeOf(io, options);
      const restored = await readBackup(file, dataDir, () =>
        readPassphrase(options.passphraseFile, { isNew: false, signal: io.signal }),
      );
      if (restored.length > 0) handOver(dataDir);
      if (options.json) return io.out(JSON.stringify({ dir: dataDir, restored }));
      const what = restored.length > 0 ? `restored: ${restored.join(", ")}` : "the same keys are there already";
      io.out(`${dataDir}: ${what}`);
    });
};

const keyLines = (keys: ReturnType<typeof describeKeys>): string[] =>
  renderTable(
    ["key", "fingerprint", "public key", "file"],
    Object.entries(keys).map(([name, { fingerprint, publicKey, file }]) => [name, fingerprint, publicKey, file]),
  );
