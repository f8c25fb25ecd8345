import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { AuditHead } from "../buffer/audit-rows.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import { Anchor } from "../control/anchor.ts";
import { AuditLog } from "../control/audit.ts";
import { Commands, type CommandTable } from "../control/commands.ts";
import { DocumentGate } from "../control/document-gate.ts";
import type { Policy } from "../control/policy.ts";
import { readPolicy } from "../control/policy-text.ts";
import { TrustedTime } from "../control/trusted-time.ts";
import type { Twin } from "../control/twin.ts";
import type { KeyRing } from "../crypto/key-ring.ts";
import { ClockSync } from "../drivers/clock-sync.ts";
import { readDisk } from "../drivers/host.ts";
import { fleetTopics } from "../wire/topics.ts";
import type { CloudPart, CloudRoute, CloudSide } from "./cloud-side.ts";
import { twinCommands } from "./twin-commands.ts";
import { TwinPart } from "./twin-part.ts";

export type TrustOptions = {
  readonly config: Config;
  readonly version: string;
  readonly keys: Pick<KeyRing, "storageRoot">;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  readonly twin?: Twin | undefined;
  readonly cloud: () => Pick<CloudSide, "publish" | "announce"> | null;
  readonly commands: CommandTable;
  /** Readings and windows that were lost since the start, by reason. */
  drops(): Readonly<Record<string, number>>;
};

/** How often the status document is told anew although nothing was asked: uptime, disk, and the head of the audit log. */
const announceMs = 15 * 60_000;

/**
 * Who may tell this gateway what: policy, gate, audit log, and the commands that come through them. It says in the
 * status document what others need to know for that: the challenge, and where the audit log ends.
 */
export class Trust implements CloudPart {
  readonly name = "trust";
  readonly policy: Policy | null;
  readonly audit: AuditLog;
  readonly gate: DocumentGate;
  readonly anchor: Anchor;
  readonly routes: readonly CloudRoute[];
  /** The conversation about the configuration from afar, where one is taken. */
  readonly twin: TwinPart | null;
  readonly #options: TrustOptions;
  readonly #clockSync = new ClockSync();
  readonly #time: TrustedTime;
  readonly #commands: Commands;
  readonly #bornAt: number;
  #head: AuditHead = { n: 0, hash: "" };
  #timer: NodeJS.Timeout | undefined;

  /** @throws TidegateError POLICY_INVALID, FILE_UNREADABLE */
  constructor(options: TrustOptions) {
    this.#options = options;
    const { config, journal, clock, log } = options;
    const { id, fleet } = config.gateway;
    const topics = fleetTopics(fleet).gateway(id);
    this.#bornAt = clock.monotonic();
    this.policy = config.policy === undefined ? null : readPolicy(config.policy);
    const rows = {
      auditAppend: async (body: Uint8Array) => {
        this.#head = await journal.auditAppend(body);
      },
    };
    this.audit = new AuditLog({ rows, clock });
    this.#time = new TrustedTime({ clock, state: journal, isSynchronized: this.#clockSync.isSynchronized });
    const { dataDir } = config.gateway;
    this.anchor = new Anchor({ dataDir, storageRoot: options.keys.storageRoot, state: journal });
    this.gate = new DocumentGate({
      ...{ fleet, gateway: id, state: journal, audit: this.audit, trustedTime: this.#time, log },
      anchor: this.anchor,
      policy: () => this.policy,
      onChallenge: () => options.cloud()?.announce(),
    });
    this.twin = options.twin ? new TwinPart({ ...options, twin: options.twin, trust: this }) : null;
    const table = { ...options.commands, ...(options.twin ? twinCommands(options.twin, () => this.policy) : {}) };
    this.#commands = new Commands({
      ...{ table, gate: this.gate, audit: this.audit, state: journal, log },
      tell: async (status) => options.cloud()?.publish(topics.commandStatus(status.id), JSON.stringify(status)),
    });
    this.routes = [
      {
        filter: topics.commands,
        retained: "ignore",
        onMessage: ({ topic, payload }) => void this.#commands.receive(topic.slice(topics.prefix.length + 4), payload),
      },
    ];
  }

  /** Everything here that talks with the cloud. */
  get parts(): CloudPart[] {
    return this.twin ? [this, this.twin] : [this];
  }

  /**
   * Takes up what earlier lives knew; before anything signed is judged.
   * @param isNewLife  the journal began anew beside what an earlier one left
   */
  async load(isNewLife: boolean): Promise<void> {
    await Promise.all([this.#clockSync.ask(), this.#time.load()]);
    this.#head = await this.#options.journal.auditHead();
    const { twin, log } = this.#options;
    await this.anchor.load(isNewLife || (twin?.report.last ?? null) !== null);
    const { fault } = this.anchor;
    if (fault && this.policy) log.error({ reason: fault }, "nothing from afar is taken: see `tidegate audit anchor`");
  }

  /** Somebody at the site has looked: what state.db holds counts from now on. */
  async anchorAnew(): Promise<{ readonly was: string | null }> {
    const { fault } = this.anchor;
    await this.anchor.renew();
    const detail = { was: fault };
    await this.audit.append({ what: "site", outcome: "done", name: "audit.anchor", by: ["site"], detail });
    this.#options.cloud()?.announce();
    return detail;
  }

  async start(): Promise<void> {
    await this.#commands.start();
    this.#timer = setInterval(() => this.#options.cloud()?.announce(), announceMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#commands.stop();
  }

  status(): Record<string, unknown> {
    const { clock, config, drops } = this.#options;
    return {
      uptimeSeconds: Math.round((clock.monotonic() - this.#bornAt) / 1000),
      disk: readDisk(config.gateway.dataDir),
      clock: { isTrusted: this.#time.now !== null, now: new Date(clock.now()).toISOString() },
      drops: drops(),
      challenge: this.gate.challenge,
      audit: this.#head,
      policy: this.policy?.hash ?? null,
      unanchored: this.anchor.fault,
    };
  }

  /** For metrics: signed documents by outcome. */
  get counts(): ReadonlyMap<string, number> {
    return this.gate.counts;
  }
}
