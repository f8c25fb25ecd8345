import * as z from "zod";
import type { ErasureRequest } from "../base/erasure-request.ts";
import { isErasedSource, renderSource, type Source } from "../base/frame.ts";
import type { Log } from "../base/log.ts";
import { type Erasure, type ErasureFacts, isErasedBody } from "../buffer/erasure.ts";
import type { Config } from "../config/config.ts";
import type { Envelope } from "../crypto/envelope.ts";
import { type SignedDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import type { CloudSide } from "./cloud-side.ts";
import type { Snapshots } from "./snapshots.ts";
import type { StreamPath } from "./stream-path.ts";

/** What is to be erased, as the control socket and signed commands say it; `before` in ms UTC. */
export const erasureSchema = z.strictObject({
  stream: z.string().min(1).optional(),
  source: z.string().optional(),
  before: z.number().optional(),
  all: z.literal(true).optional(),
});

/** What a gateway says of an erasure, signed with its own key. Neither streams nor sources are named: names are data. */
export type ErasureReceipt = SignedDocument & {
  readonly kind: "erase-receipt";
  readonly issuedAt: string;
  /** When it was asked for, ISO 8601. */
  readonly requestedAt: string;
  /** What it was asked by. */
  readonly by: readonly ("stream" | "source" | "before" | "all")[];
  readonly before?: string;
  readonly erased: ErasureFacts;
  /** The sink is told; what it answers is kept beside this. */
  readonly isForwarded: boolean;
  readonly notReached: readonly string[];
};

/** A receipt, and the envelope that proves it. */
export type SignedReceipt = { readonly receipt: ErasureReceipt; readonly envelope: Envelope };

/** What an erasure cannot reach. */
const sent = {
  told: "what has been sent, until the sink confirms: it is told; results and retained messages at brokers",
  untold: "what has been sent: batches under way or at the sink, results and retained messages at brokers",
} as const;
export const notReached = [
  "backups and copies of the data directory that hold keys/epoch from before",
  "models that were trained on what was erased",
  "flash that keeps worn pages, unless the storage root lies in a TPM",
] as const;

export type ErasuresOptions = {
  readonly fleet: string;
  readonly gateway: string;
  /** The sink is told of every erasure. */
  readonly isForwarded: boolean;
  readonly signer: Pick<Signer, "keyId" | "sign" | "publicKey">;
  readonly journal: {
    eraseBegin(request: ErasureRequest, isForwarded: boolean): Promise<Erasure>;
    erasure(): Promise<Erasure | null>;
    eraseStep(): Promise<ErasureFacts | null>;
    eraseEnd(receipt: Uint8Array): Promise<void>;
  };
  /** What the sink is to be told can be sent. */
  onBegun?(): void;
  /** Forgets what is still in memory, or on disk beside the journal. */
  forget(request: ErasureRequest): Promise<void>;
  readonly log: Log;
};

/** Erases, one after the other, and gives receipts. An erasure that was begun ends, whatever comes between. */
export class Erasures {
  readonly #options: ErasuresOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ErasuresOptions) {
    this.#options = options;
  }

  /**
   * Erases what the request says.
   * @returns the signed receipt, once nothing of it opens any more and its pages are given back
   * @throws TidegateError USAGE (no such stream), STORAGE_FAILED: it goes on at the next start when it was begun
   */
  erase(request: ErasureRequest): Promise<SignedReceipt> {
    return this.#next(async () => {
      await this.#finish();
      const erasure = await this.#options.journal.eraseBegin(request, this.#options.isForwarded);
      return this.#run(erasure);
    });
  }

  /** Ends what an earlier life began. */
  resume(): Promise<void> {
    return this.#next(() => this.#finish());
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => {});
    return run;
  }

  async #finish(): Promise<void> {
    const erasure = await this.#options.journal.erasure();
    if (erasure) await this.#run(erasure);
  }

  async #run({ number, at, request }: Erasure): Promise<SignedReceipt> {
    const { journal, fleet, gateway, isForwarded, signer, forget, log, onBegun } = this.#options;
    onBegun?.();
    await forget(request);
    let erased: ErasureFacts | null = null;
    while (!erased) erased = await journal.eraseStep();
    const { stream, source, before, all } = request;
    const by = Object.entries({ stream, source, before, all }).filter(([, value]) => value !== undefined);
    const receipt: ErasureReceipt = {
      kind: "erase-receipt",
      audience: `${fleet}/${gateway}`,
      version: number,
      issuedAt: new Date().toISOString(),
      requestedAt: new Date(at).toISOString(),
      by: by.map(([name]) => name) as ErasureReceipt["by"],
      ...(before === undefined ? {} : { before: new Date(before).toISOString() }),
      erased,
      isForwarded,
      notReached: [isForwarded ? sent.told : sent.untold, ...notReached],
    };
    const envelope = signDocument(receipt, [signer]);
    await journal.eraseEnd(Buffer.from(JSON.stringify(envelope)));
    log.info({ number, ...erased }, "erased");
    return { receipt, envelope };
  }
}

export type RunningParts = {
  readonly paths: Iterable<StreamPath>;
  readonly snapshots: Pick<Snapshots, "dropAll">;
  readonly cloud: Pick<CloudSide, "drop" | "wake"> | null;
};

/** The erasures of a running gateway. */
export function gatewayErasures(parts: {
  readonly config: Config;
  readonly keys: { readonly signer: Signer };
  readonly log: Log;
  readonly journal: ErasuresOptions["journal"];
  trainings(): { erase(request: ErasureRequest): Promise<void> };
  memory(): RunningParts;
}): Erasures {
  const { config, keys, log, journal } = parts;
  const { fleet, id: gateway } = config.gateway;
  const forget = async (request: ErasureRequest) => {
    forgetRunning(request, parts.memory());
    await parts.trainings().erase(request);
  };
  const isForwarded = config.cloud?.forwardErasures ?? false;
  const onBegun = () => parts.memory().cloud?.wake();
  return new Erasures({ fleet, gateway, isForwarded, signer: keys.signer, journal, log, forget, onBegun });
}

/** Forgets what a running gateway has in memory of what is being erased. */
function forgetRunning(request: ErasureRequest, { paths, snapshots, cloud }: RunningParts): void {
  const { stream, source, before } = request;
  snapshots.dropAll();
  const isGone = (of: Source) => !isErasedSource(of) && (source === undefined || renderSource(of) === source);
  for (const path of paths) if (stream === undefined || path.name === stream) path.erase(isGone, before === undefined);
  cloud?.drop((entry) => (stream === undefined || entry.stream === stream) && isErasedBody(request, entry.body));
}
