import type * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { OpenedDocument } from "../crypto/signed-document.ts";
import type { Audit } from "./audit.ts";
import { commandSchema } from "./command-document.ts";
import type { DocumentGate } from "./document-gate.ts";
import { DocumentQueue } from "./document-queue.ts";
import type { Action, Scope } from "./policy.ts";
import type { TrustState } from "./trusted-time.ts";

/** One thing that a signed command may ask for. */
export type Command = {
  /** What the policy is asked about. */
  readonly action: Action;
  /** It destroys or reverts something: the command must carry the gateway's current challenge. */
  readonly isDestructive: boolean;
  readonly params: z.ZodType;
  /** What it is about, in the policy's words. */
  resource?(params: Record<string, unknown>): Scope<string>;
  /** Does it. What it returns goes into the status: a receipt, a count. */
  run(params: Record<string, unknown>, signal: AbortSignal): Promise<unknown>;
};

export type CommandTable = Readonly<Record<string, Command>>;

/** What is said of a command on its status topic. */
export type CommandStatus = {
  readonly id: string;
  readonly status: "accepted" | "executing" | "successful" | "failed";
  readonly reason?: string;
  readonly result?: unknown;
};

export type CommandsOptions = {
  readonly table: CommandTable;
  readonly gate: Pick<DocumentGate, "accept">;
  readonly audit: Audit;
  readonly state: TrustState;
  /** Publishes on the command's status topic; resolves when the broker has it. */
  tell(status: CommandStatus): Promise<unknown>;
  readonly log: Log;
};

const underWayName = "trust/command";

/**
 * Signed commands: judged by the gate, executed one after another, at most once. What was being executed when the
 * gateway went down is told as failed at the next start, never done again.
 */
export class Commands {
  readonly #options: CommandsOptions;
  readonly #ending = new AbortController();
  readonly #queue: DocumentQueue;

  constructor(options: CommandsOptions) {
    this.#options = options;
    this.#queue = new DocumentQueue("commands", options.log);
  }

  /** Tells of what an earlier life did not end. */
  async start(): Promise<void> {
    const { state } = this.#options;
    const saved = await state.stateGet(underWayName);
    const id = saved && Buffer.from(saved).toString("utf8");
    if (!id) return;
    await state.statePut(underWayName, new Uint8Array());
    // The broker may be away for long; nothing waits for it.
    void this.#tell({ id, status: "failed", reason: "interrupted" });
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#queue.done;
  }

  /** Takes a command from topic `cmd/{id}`; resolves when it is done with. The payload is copied at once. */
  receive(id: string, payload: Uint8Array): Promise<void> {
    return this.#queue.add(payload, async (envelope) => {
      if (!this.#ending.signal.aborted) await this.#execute(id, envelope);
    });
  }

  async #execute(topicId: string, envelope: Uint8Array): Promise<void> {
    const { table, gate, audit, state, log } = this.#options;
    let asked: { id: string; name: string; command: Command; params: Record<string, unknown> } | undefined;
    let by: string[];
    let isMeant = false;
    try {
      const accepted = await gate.accept("command", envelope, (document, keys) => {
        isMeant = document.id === topicId;
        asked = readCommand(table, topicId, document, keys);
        const { command, params } = asked;
        const { action, isDestructive } = command;
        return { action, isDestructive, resource: command.resource?.(params) ?? {} };
      });
      by = accepted.signedBy;
    } catch (thrown) {
      if (!(thrown instanceof TidegateError) || thrown.code !== "DOCUMENT_REFUSED") throw thrown;
      const reason = String(thrown.facts.reason);
      // Whoever can reach the topic must not change what is said there of a command: neither by a repeat, nor by what
      // nobody known has signed for it.
      if (isMeant && reason !== "old-version") void this.#tell({ id: topicId, status: "failed", reason });
      return;
    }
    if (!asked) return;
    const { id, name, command, params } = asked;
    void this.#tell({ id, status: "accepted" });
    await state.statePut(underWayName, Buffer.from(id));
    void this.#tell({ id, status: "executing" });
    let outcome: Pick<CommandStatus, "status" | "reason" | "result">;
    try {
      outcome = { status: "successful", result: await command.run(params, this.#ending.signal) };
    } catch (thrown) {
      log.error({ command: name, reason: reasonOf(thrown) }, "a command failed");
      outcome = { status: "failed", reason: thrown instanceof TidegateError ? thrown.code : "internal" };
    }
    const { status, reason } = outcome;
    await audit.append({
      ...{ what: "command", outcome: status === "successful" ? "done" : "failed", name, by },
      ...(reason === undefined ? {} : { reason }),
      resource: command.resource?.(params) ?? {},
      detail: { id },
    });
    await state.statePut(underWayName, new Uint8Array());
    void this.#tell({ id, ...outcome });
  }

  async #tell(status: CommandStatus): Promise<void> {
    try {
      await this.#options.tell(status);
    } catch (thrown) {
      this.#options.log.warn({ reason: reasonOf(thrown) }, "the status of a command could not be told");
    }
  }
}

/** @throws Error  what is wrong with it: the gate tells it as malformed */
function readCommand(table: CommandTable, topicId: string, document: OpenedDocument, keys: readonly string[]) {
  const { id, name, params } = commandSchema.parse(document);
  if (id !== topicId) throw new Error("its id is not that of its topic");
  // Versions count for each signer: nobody counts on for another.
  if (!keys.includes(document.subject ?? "")) throw new Error("its subject is none of those who signed it");
  const command = Object.hasOwn(table, name) ? table[name] : undefined;
  if (!command) throw new Error(`there is no command ${name}`);
  return { id, name, command, params: command.params.parse(params) as Record<string, unknown> };
}
