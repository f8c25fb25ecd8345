import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Link } from "../wire/link.ts";
import type { Brake } from "./brake.ts";
import { type LinkParts, resultsLink } from "./links.ts";
import type { PublishingLink } from "./publisher.ts";

type Answer = { readonly reason: number };
type WayLink = Pick<Link, "start" | "stop" | "hurry" | "publish" | "send"> & {
  readonly state: Pick<Link["state"], "isOnline" | "error">;
};

export type ResultsWayOptions = {
  /** The link that readings come by. */
  readonly site: Pick<WayLink, "publish" | "send">;
  /** The link for results alone; it has to call `changed` when its state changes. */
  readonly own: WayLink;
  /** More results wait for the broker's answer than memory is meant for, or few again; never while they share a connection. */
  onCrowded(isCrowded: boolean): void;
  readonly log: Log;
  /** Longest time for which the site's link is online and this one is not, ms. */
  readonly patienceMs?: number;
};

/** What a result takes beside its payload while it waits, about. */
const headBytes = 512;
/** A broker that answers at once has less than half of it in hand, at any speed. */
const crowdedBytes = 4 * 2 ** 20;

/**
 * The way of results to the site's broker. Those of QoS 1 have a connection of their own: a broker answers in line with
 * what it sends, so that on the readings' connection the answers to results would lie behind every message of a flood, and
 * tens of thousands of results would wait for them here.
 *
 * Where the broker lets in one connection only, they go by the readings' one.
 */
export class ResultsWay implements PublishingLink, Component {
  readonly name = "results";
  readonly #options: ResultsWayOptions;
  #isSiteOnline = false;
  #isShared = false;
  #isStopped = true;
  #bytes = 0;
  #isCrowded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ResultsWayOptions) {
    this.#options = options;
  }

  /** The way to the broker of the site's link, by a link of the same parts. */
  static to(site: Link, parts: LinkParts, brake: Brake): ResultsWay {
    const onCrowded = (isCrowded: boolean) => brake.set("results", isCrowded);
    const own: Link = resultsLink(parts, () => way.changed());
    const way: ResultsWay = new ResultsWay({ site, own, onCrowded, log: parts.log });
    return way;
  }

  /** Whether their own connection is there, and whether they go by the readings' one. */
  get state() {
    const { isOnline, error } = this.#options.own.state;
    return { isOnline, isShared: this.#isShared, error };
  }

  async start(): Promise<void> {
    this.#isStopped = false;
    await this.#options.own.start();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (!this.#isShared) await this.#options.own.stop(deadlineMs);
  }

  send(topic: string, payload: string, options: { qos: 0; retain: boolean }): string | null {
    return this.#options.site.send(topic, payload, options);
  }

  async publish(topic: string, payload: Buffer, options: { qos: 0 | 1; retain: boolean }): Promise<Answer> {
    const { own, site } = this.#options;
    if (this.#isShared) return site.publish(topic, payload, options);
    const size = payload.length + headBytes;
    this.#waits(size);
    try {
      return await own.publish(topic, payload, options);
    } catch (thrown) {
      // It waited for the connection that was given up.
      const hasMoved = this.#isShared && thrown instanceof TidegateError && thrown.code === "STOPPED";
      if (!hasMoved) throw thrown;
      return site.publish(topic, payload, options);
    } finally {
      this.#waits(-size);
    }
  }

  #waits(bytes: number): void {
    this.#bytes += bytes;
    const isCrowded = !this.#isShared && this.#bytes > (this.#isCrowded ? crowdedBytes / 2 : crowdedBytes);
    if (isCrowded === this.#isCrowded) return;
    this.#isCrowded = isCrowded;
    this.#options.onCrowded(isCrowded);
  }

  /** The link that readings come by is online, or not any more. */
  siteChanged(isOnline: boolean): void {
    this.#isSiteOnline = isOnline;
    if (this.#isStopped) return;
    if (isOnline && this.#isShared) this.#tryAgain();
    // The broker is there: no pause between attempts holds any more.
    else if (isOnline) this.#options.own.hurry();
    this.changed();
  }

  /** Something has changed: decides whether to wait for the results' own connection any longer. */
  changed(): void {
    clearTimeout(this.#timer);
    const { isOnline, error } = this.#options.own.state;
    if (this.#isStopped || this.#isShared || isOnline || !this.#isSiteOnline) return;
    if (error?.code === "BROKER_REFUSED") this.#share(error);
    else this.#timer = setTimeout(() => this.#share(this.#options.own.state.error), this.#options.patienceMs ?? 5_000);
  }

  #tryAgain(): void {
    this.#isShared = false;
    void this.#options.own.start();
  }

  #share(error: TidegateError | null): void {
    const { own, log } = this.#options;
    this.#isShared = true;
    log.warn(
      { reason: error === null ? "no answer" : reasonOf(error) },
      "no second connection to the site's broker: results go by that of the readings, which costs memory when much comes",
    );
    void own.stop(0);
  }
}
