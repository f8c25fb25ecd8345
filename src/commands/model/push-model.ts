import { TidegateError } from "../../base/errors.ts";
import { type Manifest, manifestKind, parseManifest } from "../../control/model-manifest.ts";
import { publishBlob } from "../../coordinator/blob-publisher.ts";
import { describeRelease } from "../../coordinator/release.ts";
import { signDocument } from "../../crypto/signed-document.ts";
import type { Signer } from "../../crypto/signing.ts";
import type { Bundle } from "../../inference/bundle.ts";
import type { Link } from "../../wire/link.ts";
import { fleetTopics } from "../../wire/topics.ts";

export type PushOptions = {
  readonly fleet: string;
  /** The newest manifest of the model that the broker holds; undefined when it holds none. */
  former(): Uint8Array | undefined;
  readonly bundle: Bundle;
  /** Earlier versions: differences to them are offered, too. */
  readonly parents: readonly Bundle[];
  readonly signers: readonly Signer[];
  readonly rollout: Manifest["rollout"];
  readonly requires: Manifest["requires"];
  /** Days until the offer ends. */
  readonly validDays: number;
  /** Folder on an HTTPS server where the files lie under their hashes. */
  readonly urlBase?: string | undefined;
  onProgress(chunks: number, of: number): void;
};

export type Pushed = {
  readonly model: string;
  readonly version: number;
  readonly hash: string;
  /** Version of the manifest. */
  readonly manifest: number;
  readonly bytes: number;
  /** The smallest difference to an earlier version of each file, bytes. */
  readonly differences: { readonly path: string; readonly bytes: number; readonly of: number }[];
};

const dayMs = 86_400_000;

/**
 * Offers a bundle to a fleet: its files first, then the signed manifest that names them.
 * @throws TidegateError BROKER_REFUSED when the broker's access rules do not let it publish
 */
export async function pushModel(link: Pick<Link, "publish">, options: PushOptions): Promise<Pushed> {
  const { fleet, former, bundle, parents, signers, rollout, requires, validDays, urlBase, onProgress } = options;
  const { name: model, card } = bundle;
  const topics = fleetTopics(fleet);
  const topic = topics.manifest(model);
  const urlOf =
    urlBase === undefined ? undefined : (_: string, sha256: string) => `${urlBase.replace(/\/$/, "")}/${sha256}`;
  const { release, blobs } = await describeRelease(bundle, parents, urlOf);
  const publish = (to: string, payload: Uint8Array | string, { retain }: { retain: boolean }) =>
    link.publish(to, payload, { qos: 1, retain });
  let done = 0;
  const total = blobs.reduce((sum, { length }) => sum + length, 0);
  for (const blob of blobs) {
    const refused = await publishBlob(
      blob,
      (sha256, n) => topics.blob(model, sha256, n),
      publish,
      (n, of) => onProgress(done + (blob.length * n) / of, total),
    );
    if (refused.length > 0) throw refusal(topics.blob(model, "…", refused[0]?.n ?? 0));
    done += blob.length;
  }
  const now = Date.now();
  const manifest = versionAfter(former(), now);
  const document = {
    kind: manifestKind,
    audience: fleet,
    version: manifest,
    subject: model,
    issuedAt: new Date(now).toISOString(),
    expires: new Date(now + validDays * dayMs).toISOString(),
    release,
    requires,
    metrics: card.metrics ?? {},
    rollout,
  };
  parseManifest(document);
  const { reason } = await publish(topic, JSON.stringify(signDocument(document, signers)), { retain: true });
  if (reason >= 128) throw refusal(topic);
  const differences = release.files.flatMap(({ path, size, differences: offered }) => {
    const least = Math.min(...offered.map((difference) => difference.size));
    return offered.length === 0 ? [] : [{ path, bytes: least, of: size }];
  });
  return { model, version: card.version, hash: bundle.hash, manifest, bytes: total, differences };
}

const refusal = (topic: string) =>
  new TidegateError("BROKER_REFUSED", { url: topic, reason: "its access rules do not let this user publish there" });

/**
 * The version after the one that the broker holds, whether that one is genuine or not; but none beyond the time in ms,
 * which gateways refuse: whoever can write there must not use up the versions that are to come.
 */
function versionAfter(payload: Uint8Array | undefined, now: number): number {
  if (!payload) return 1;
  try {
    const { payload: body } = JSON.parse(Buffer.from(payload).toString("utf8")) as { payload: string };
    const { version } = JSON.parse(Buffer.from(body, "base64").toString("utf8")) as { version: unknown };
    return Number.isSafeInteger(version) ? Math.min(Number(version) + 1, now) : 1;
  } catch {
    return 1;
  }
}
