import { expect, it } from "vitest";
import { manifestsBy } from "../../../src/gateway/model-delivery.ts";
import { base64, cloud, mallory, signed, trustWorld } from "../control/trust-world.ts";

const policy = `
principals:
  cloud: { keys: ["${base64(cloud)}"], roles: [publisher] }
  third: { keys: ["${base64(mallory)}"] }
rules:
  - { allow: [model.push], roles: [publisher] }
  - { allow: [model.push], principals: [third], resources: { models: [digits] } }
`;

it("who may push one model cannot use up the versions of another", async () => {
  const open = manifestsBy(trustWorld({ policy }).gate);
  const hash = "a".repeat(64);
  const release = { version: 2, hash, files: [{ path: "model.onnx", sha256: hash, size: 1_000 }] };
  const manifest = (subject: string, version: number, signer: typeof cloud, more = {}) =>
    Buffer.from(signed({ kind: "manifest", subject, version, audience: "demo", release, ...more }, signer));
  await open(manifest("digits", 1, mallory), "digits");
  // On the topic of the model that is allowed, about another.
  const refused = { code: "DOCUMENT_REFUSED", facts: expect.objectContaining({ reason: "malformed" }) };
  await expect(open(manifest("mote-anomaly", 1_000, mallory), "digits")).rejects.toMatchObject(refused);
  // What is no manifest does not stand in the way of those that come.
  await expect(open(manifest("mote-anomaly", 1_000, cloud, { release: {} }), "mote-anomaly")).rejects.toMatchObject(
    refused,
  );
  expect(await open(manifest("mote-anomaly", 7, cloud), "mote-anomaly")).toMatchObject({ version: 7 });
});
