import type { Command } from "commander";
import { sleep } from "../../base/lifecycle.ts";
import { openBundle } from "../../inference/bundle.ts";
import { fleetTopics } from "../../wire/topics.ts";
import { loadForOperator, operatorOptions, visitCloud } from "../cloud/operator.ts";
import { signerOption, signersOf } from "../cloud/operator-keys.ts";
import { LiveLines } from "../terminal/live-lines.ts";
import { configOption, type Io, jsonOption, numberOption } from "../verb.ts";
import { modelsAt } from "./model-folders.ts";
import type { Pushed } from "./push-model.ts";

type Options = {
  config?: string;
  json?: boolean;
  dir?: string;
  broker?: string;
  fleet?: string;
  key: string[];
  share: number;
  seed?: string;
  halt?: boolean;
  parent: string[];
  urlBase?: string;
  arch?: ("x64" | "arm64")[];
  validDays: number;
};

/** `tidegate model push` and `rollback`. */
export function definePush(command: Command, io: Io): void {
  offering(command.command("push"))
    .description("offer a version of a model to a fleet: its files and a signed manifest on the cloud's broker")
    .option("--share <share>", "share of the fleet that takes it, 0 to 1", numberOption("--share", { max: 1 }), 1)
    .option("--seed <text>", "another seed lets other gateways come first (default: the version)")
    .option("--halt", "nobody begins with this version any more; who has it keeps it")
    .addHelpText(
      "after",
      "\nExample: tidegate model push ./mote-anomaly --key ops/keys/signing.key --share 0.1\nGateways try it beside the version that runs, and go back by themselves when it does worse.",
    )
    .action((name: string, options: Options) => offer(io, name, options, false));
  offering(command.command("rollback"))
    .description("send a fleet back to an earlier version of a model: its bundle is pushed as the one to take")
    .addHelpText(
      "after",
      "\nExample: tidegate model rollback ./mote-anomaly-1 --key ops/keys/signing.key\nThe policy's action is model.rollback.",
    )
    .action((name: string, options: Options) => offer(io, name, { ...options, share: 1 }, true));
}

const repeated = (value: string, before: string[]): string[] => [...before, value];

const offering = (command: Command): Command =>
  command
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)")
    .option(...configOption)
    .option(...jsonOption)
    .option("--dir <folder>", "folder of model bundles, looked at before those of the configuration")
    .option(...operatorOptions.broker)
    .option(...operatorOptions.fleet)
    .option(...signerOption)
    .option("--parent <folder>", "an earlier version that gateways have: the difference is offered too", repeated, [])
    .option("--url-base <url>", "HTTPS folder where the files lie under their SHA-256: tried before the broker")
    .option("--arch <arch...>", "only for x64 or arm64")
    .option("--valid-days <days>", "days until the offer ends", numberOption("--valid-days", { min: 0.01 }), 365);

async function offer(io: Io, name: string, options: Options, isForced: boolean): Promise<void> {
  const signers = signersOf(options.key);
  const bundle = await modelsAt(io, options).open(name);
  const parents = await Promise.all(options.parent.map((dir) => openBundle(dir)));
  const { pushModel } = await import("./push-model.ts");
  const loaded = loadForOperator(io, { ...options, to: [] });
  const { fleet } = loaded.config.gateway;
  const topic = fleetTopics(fleet).manifest(bundle.name);
  let former: Uint8Array | undefined;
  const visit = await visitCloud(io, loaded, [{ topic, qos: 1, retained: "each" }], ({ payload }) => {
    former = new Uint8Array(payload);
  });
  const screen = new LiveLines(io);
  let pushed: Pushed;
  try {
    // What a broker retains it sends right behind its answer to the subscription.
    await sleep(retainedMs, io.signal);
    pushed = await pushModel(visit.link, {
      fleet,
      former: () => former,
      bundle,
      parents,
      signers,
      rollout: {
        share: options.share,
        seed: options.seed ?? `${bundle.name}-${bundle.card.version}`,
        isHalted: options.halt === true,
        isForced,
      },
      requires: options.arch ? { arch: options.arch } : {},
      validDays: options.validDays,
      urlBase: options.urlBase,
      onProgress: (bytes, of) => {
        const line = `${bundle.name}: ${kilobytes(bytes)} of ${kilobytes(of)} kB on the broker`;
        screen.show([line], line);
      },
    });
  } finally {
    await visit.leave();
  }
  if (options.json) return io.out(JSON.stringify(pushed));
  const { model, version, hash, manifest, bytes, differences } = pushed;
  io.out(
    `${model} ${version} (${hash.slice(0, 16)}) is offered to ${fleet} by manifest ${manifest}: ${kilobytes(bytes)} kB.`,
  );
  for (const difference of differences) {
    const share = (difference.bytes / difference.of) * 100;
    io.out(`${difference.path}: a gateway that has the earlier version fetches ${share.toFixed(0)} % of it.`);
  }
}

const retainedMs = 500;

const kilobytes = (bytes: number): string => (bytes / 1_000).toFixed(0);
