import { expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import type { Config } from "../../../src/config/config.ts";
import { type Signer, signerOf } from "../../../src/crypto/signing.ts";
import { SinkKey } from "../../../src/gateway/sink-key.ts";
import { signDataKeys } from "../../../src/wire/data-keys.ts";

const owner = signerOf(new Uint8Array(32).fill(1));
const stranger = signerOf(new Uint8Array(32).fill(2));
const key = new Uint8Array(32).fill(7);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/** Lives of one gateway: what one of them puts into the state, the next finds there. */
function lives() {
  const state = new Map<string, Uint8Array>();
  const journal = {
    stateGet: async (name: string) => state.get(name) ?? null,
    statePut: async (name: string, value: Uint8Array) => void state.set(name, value),
  };
  return async (signer: Signer) => {
    const config = { gateway: { fleet: "demo" }, cloud: { dataSigner: base64(signer.publicKey) } };
    const life = new SinkKey(config as Pick<Config, "cloud" | "gateway">, journal, silentLog);
    await life.load();
    return life;
  };
}

const announcement = (version: number, by = owner) =>
  Buffer.from(JSON.stringify(signDataKeys("demo", { version, keys: [key] }, [by])));

it("knows the announced key after a restart: a broker that kept the session does not say it again", async () => {
  const begin = lives();
  const before = await begin(owner);
  expect(before.announce(announcement(3))).toBe(true);
  const after = await begin(owner);
  expect(after.value).toEqual(key);
  expect(after.announce(announcement(2))).toBe(false);
  expect(after.announce(announcement(3))).toBe(true);
});

it("gives up a saved key when another signer is trusted from now on", async () => {
  const begin = lives();
  (await begin(owner)).announce(announcement(3));
  expect((await begin(stranger)).value).toBeNull();
});
