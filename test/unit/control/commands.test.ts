import { describe, expect, it } from "vitest";
import * as z from "zod";
import { silentLog } from "../../../src/base/log.ts";
import { signCommand } from "../../../src/control/command-document.ts";
import { type CommandStatus, Commands, type CommandTable } from "../../../src/control/commands.ts";
import type { Signer } from "../../../src/crypto/signing.ts";
import { alice, bob, issuedAt, mallory, signed, trustWorld } from "./trust-world.ts";

const now = Date.parse(issuedAt);

/** Commands of a gateway whose operators may look whether a configuration would do. */
function world() {
  const { gate, values, clock, told: audited } = trustWorld();
  const ran: unknown[] = [];
  const said: CommandStatus[] = [];
  const table: CommandTable = {
    "config.check": {
      action: "config.set",
      isDestructive: false,
      params: z.strictObject({ n: z.number() }),
      run: async ({ n }) => void ran.push(n),
    },
  };
  const state = {
    stateGet: async (name: string) => values.get(name) ?? null,
    statePut: async (name: string, value: Uint8Array) => void values.set(name, value),
  };
  const tell = async (status: CommandStatus) => void said.push(status);
  const commands = new Commands({
    ...{ table, gate, state, tell, log: silentLog },
    audit: { append: async (entry) => void audited.push(entry) },
  });
  const send = (id: string, envelope: unknown) =>
    commands.receive(id, Buffer.from(typeof envelope === "string" ? envelope : JSON.stringify(envelope)));
  const of = (id: string) => said.filter((status) => status.id === id).map(({ status, reason }) => reason ?? status);
  return { clock, gate, ran, of, send };
}

const check = (id: string, signers: Signer[], n = 1, at = now) => {
  const request = { fleet: "demo", gateway: "gw-1", id, name: "config.check", params: { n }, validMs: 60_000 };
  return signCommand(request, signers, at);
};

describe("signed commands", () => {
  it("are told of on their own topic from beginning to end, and by what they lack", async () => {
    const { send, of, ran } = world();
    await send("c1", check("c1", [alice]));
    const broken = { ...{ id: "c2", name: "config.check", params: { n: "one" } }, subject: alice.keyId };
    await send("c2", signed({ kind: "command", version: now, ...broken }, alice));
    expect([of("c1"), of("c2")]).toEqual([["accepted", "executing", "successful"], ["malformed"]]);
    expect(ran).toEqual([1]);
  });

  it("say nothing more once they are done, whoever sends what on their topic", async () => {
    const { send, of, clock } = world();
    const command = check("c1", [alice]);
    await send("c1", command);
    const done = ["accepted", "executing", "successful"];
    await send("c1", "{");
    await send("c1", check("c1", [mallory], 2, now));
    await send("c1", signed({ kind: "round" }, mallory));
    // Another one's, which everybody at the broker could read.
    await send("c1", check("c9", [bob], 2, now));
    clock.advance(120_000);
    await send("c1", command);
    expect(of("c1")).toEqual(done);
  });

  it("count for those who signed them: nobody uses up the versions of another", async () => {
    const { send, of } = world();
    const request = { id: "b1", name: "config.check", params: { n: 1 } };
    await send("b1", signed({ kind: "command", version: now, subject: alice.keyId, ...request }, bob));
    await send("b2", signed({ kind: "command", version: now, ...request, id: "b2" }, bob));
    await send("a1", check("a1", [alice], 1, now - 1_000));
    expect([of("b1"), of("b2"), of("a1").at(-1)]).toEqual([["malformed"], ["malformed"], "successful"]);
  });
});
