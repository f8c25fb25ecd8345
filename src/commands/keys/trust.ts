import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import { keyBytes } from "../../crypto/sealing.ts";
import { fingerprint } from "../../crypto/signing.ts";
import { isId } from "../../wire/topics.ts";
import { loadFor } from "../load-configuration.ts";
import { answer, configOption, type Io, jsonOption } from "../verb.ts";
import { askDaemon } from "./beside-daemon.ts";
import type { KeyOptions } from "./place.ts";
import { revokeGateway, trustGateway } from "./trusted-gateways.ts";
import { revokePrincipal, trustPrincipal } from "./trusted-principals.ts";

const sinkDir = ["--dir <folder>", "data directory of a sink, for the keys of gateways (FLEET/GATEWAY)"] as const;

/** `keys trust` and `keys revoke`: public keys of others. */
export function defineTrust(command: Command, io: Io): void {
  command
    .command("trust")
    .description("trust a public key: of a principal of this gateway's policy, or at a sink of a gateway")
    .argument("<name>", "a principal such as alice; or FLEET/GATEWAY with --dir")
    .argument("<key>", "Ed25519 public key, 32 bytes in base64, as `tidegate keys show` prints it (signing)")
    .option(...configOption)
    .option(...jsonOption)
    .option(...sinkDir)
    .option("--role <roles...>", "roles that the principal gets: operator, publisher, coordinator, auditor")
    .addHelpText(
      "after",
      "\nExample: tidegate keys trust alice 1mVQ…= --role operator\nAt a sink: tidegate keys trust demo/gw-1 9XkF…= --dir /var/lib/tidegate-sink\nIt holds at once: a running daemon reads its policy again, a sink its trusted.json.",
    )
    .action(async (name: string, key: string, options: KeyOptions & { role?: string[] }) => {
      const text = publicKey(key);
      const isNew = isGateway(name, options)
        ? await trustGateway(options.dir ?? "", name, text)
        : trustPrincipal(policyFile(io, options), name, text, options.role ?? []);
      await told(io, options, isNew);
      const keyId = fingerprint(Buffer.from(text, "base64"));
      if (options.json) return io.out(JSON.stringify({ name, fingerprint: keyId, isNew }));
      io.out(isNew ? `${name}: the key ${keyId} is trusted.` : `${name}: the key ${keyId} was trusted already.`);
    });

  command
    .command("revoke")
    .description("trust a public key no longer, at once")
    .argument("<name>", "a principal such as alice; or FLEET/GATEWAY with --dir")
    .argument("[key]", "the public key in base64; absent: every key of that name")
    .option(...configOption)
    .option(...jsonOption)
    .option(...sinkDir)
    .addHelpText(
      "after",
      "\nExample: tidegate keys revoke alice\nWith a principal's last key the principal goes, out of the rules, too. A policy that would leave nobody able to undo it\nis refused: trust another key first.",
    )
    .action(async (name: string, key: string | undefined, options: KeyOptions) => {
      const text = key === undefined ? undefined : publicKey(key);
      const wasTrusted = isGateway(name, options)
        ? await revokeGateway(options.dir ?? "", name, text)
        : revokePrincipal(policyFile(io, options), name, text);
      await told(io, options, wasTrusted);
      if (options.json) return io.out(JSON.stringify({ name, wasTrusted }));
      io.out(wasTrusted ? `${name}: trusted no longer.` : `${name}: there was no such key.`);
    });
}

/** The daemon reads its policy with the configuration; a sink looks at its file by itself. */
async function told(io: Io, options: KeyOptions, isChanged: boolean): Promise<void> {
  const reason = isChanged ? await askDaemon<string | null>(io, options, "reload") : null;
  if (reason == null) return;
  io.err(`The file is changed, but the running daemon goes on with what it had: ${reason}`);
  answer(1);
}

function isGateway(name: string, { dir }: KeyOptions): boolean {
  const parts = name.split("/");
  const isPair = parts.length === 2 && parts.every(isId);
  if (isPair !== (dir !== undefined))
    throw new TidegateError("USAGE", {
      detail:
        "a gateway (FLEET/GATEWAY) is trusted at a sink: --dir names its folder; a principal has no slash, and no --dir",
    });
  return isPair;
}

function policyFile(io: Io, options: KeyOptions): string {
  const { policy } = loadFor(io, options).config;
  if (policy !== undefined) return policy;
  throw new TidegateError("USAGE", {
    detail: "the configuration names no policy: write one (docs/guides/policy.md) and name it in `policy`",
  });
}

function publicKey(text: string): string {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== keyBytes || !/^[A-Za-z0-9+/_-]{43}=?$/.test(text))
    throw new TidegateError("USAGE", { detail: `"${text}" is no public key: 32 bytes in base64` });
  return bytes.toString("base64");
}
