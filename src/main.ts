import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { reasonOf, TidegateError } from "./base/errors.ts";
import { endWithReader } from "./commands/broken-pipe.ts";
import { type Io, OptionFault } from "./commands/verb.ts";
import { verbs } from "./commands/verbs.ts";

function processIo(): Io {
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  return {
    env: process.env,
    interactive: process.stderr.isTTY === true && process.env.TERM !== "dumb",
    columns: process.stderr.columns ?? 80,
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    draw: (text) => void process.stderr.write(text),
    signal: stopping.signal,
  };
}

function version(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/** Commander knows the verbs by name; only the one that is asked for is loaded. */
async function program(argv: readonly string[], io: Io): Promise<Command> {
  const root = new Command("tidegate")
    .description("Stands between a site's sensors and the cloud.")
    .version(version())
    // Verbs may have a --version of their own.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: () => {},
    })
    .showSuggestionAfterError(true)
    .addHelpText("after", "\nTry it on real sensor data: tidegate demo --duration 30s");
  const asked = argv.find((word) => !word.startsWith("-"));
  for (const verb of verbs) {
    const command = root.command(verb.name).description(verb.summary).copyInheritedSettings(root);
    if (verb.name === asked) (await verb.load()).define(command, io);
  }
  return root;
}

function toTidegateError(thrown: unknown): TidegateError {
  if (thrown instanceof TidegateError) return thrown;
  if (thrown instanceof OptionFault) return new TidegateError("USAGE", { detail: thrown.message });
  if (thrown instanceof CommanderError) {
    return new TidegateError("USAGE", { detail: thrown.message.replace(/^error: /, "").replaceAll("\n", " ") });
  }
  return new TidegateError("BUG", { detail: reasonOf(thrown) }, { cause: thrown });
}

/** Tells of a failure: one line and the help for people, one JSON line last for scripts. */
function report(error: TidegateError, isJson: boolean, io: Io): void {
  if (isJson) {
    io.out(JSON.stringify({ error }));
    return;
  }
  io.err(`tidegate: ${error.message}`);
  const faults = error.facts.faults;
  if (Array.isArray(faults))
    for (const fault of faults) io.err(`  ${typeof fault === "string" ? fault : renderFault(fault)}`);
  io.err(`  ${error.help}`);
  if (error.code === "BUG" && error.cause instanceof Error) io.err(error.cause.stack ?? "");
}

function renderFault(fault: { path?: string; line?: number; column?: number; message?: string }): string {
  const place = fault.line === undefined ? "" : `line ${fault.line}, column ${fault.column}: `;
  return `${place}${fault.path ? `${fault.path}: ` : ""}${fault.message ?? ""}`;
}

/** Runs one command line. Returns the exit code. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    const root = await program(argv, io);
    await root.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    // Help and version leave through here, too.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    if (thrown instanceof CommanderError && thrown.code === "commander.help") return argv.length === 0 ? 0 : 64;
    const error = toTidegateError(thrown);
    report(error, argv.includes("--json"), io);
    return error.exit;
  }
}

/** Services go on when whoever reads their output has gone. */
const services = ["run", "sink"];

if (import.meta.main) {
  if (!services.includes(process.argv[2] ?? "")) endWithReader();
  process.exitCode = await main(process.argv.slice(2), processIo());
}
