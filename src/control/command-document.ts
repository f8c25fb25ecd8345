import * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import type { Envelope } from "../crypto/envelope.ts";
import { signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";

/** What a command says beyond a document's head. */
export const commandSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  name: z.string().max(64),
  params: z.record(z.string(), z.unknown()).default({}),
});

export type CommandRequest = {
  readonly fleet: string;
  readonly gateway: string;
  /** Also the last level of its topic. */
  readonly id: string;
  readonly name: string;
  readonly params?: Readonly<Record<string, unknown>>;
  /** From the gateway's status document; destructive commands need it. */
  readonly challenge?: string | undefined;
  /** Not to be executed later than so long after `now`, ms. */
  readonly validMs: number;
};

/**
 * Signs a command. Its version is the signer's clock: each signer counts for themselves, so that two operators need not
 * know of each other.
 */
export function signCommand(request: CommandRequest, signers: readonly Signer[], now: number): Envelope {
  const { fleet, gateway, id, name, params = {}, challenge, validMs } = request;
  const [first] = signers;
  if (!first) throw new TidegateError("BUG", { detail: "a command that nobody signs" });
  return signDocument(
    {
      ...{ kind: "command", audience: `${fleet}/${gateway}`, subject: first.keyId, version: now },
      ...{ issuedAt: new Date(now).toISOString(), expires: new Date(now + validMs).toISOString() },
      ...(challenge === undefined ? {} : { challenge }),
      ...{ id, name, params },
    },
    signers,
  );
}
