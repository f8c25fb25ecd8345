import { availableParallelism, loadavg } from "node:os";
import { readMemory, readPower, readTemperature } from "../drivers/host.ts";

/** When the device is not to be trained on. Absent: no limit. */
export type GateLimits = {
  readonly maxCelsius?: number;
  /** Memory that must be left to the rest of the device, bytes. */
  readonly minFreeBytes?: number;
  /** Processes that wait for or have a core, per core, over the last minute; the trainer's own threads not counted. */
  readonly maxLoad?: number;
  /** Whether to train while the device runs on its battery. */
  readonly onBattery?: boolean;
};

/** What is measured; null where the device does not tell. */
export type DeviceFigures = {
  readonly celsius: number | null;
  readonly freeBytes: number | null;
  readonly load: number;
  readonly isOnBattery: boolean;
};

/** A device that was too hot must have cooled by so much before training goes on. */
const coolDownBy = 5;

/** @param ownThreads  of the trainer, while it runs */
export function readDevice(ownThreads: number): DeviceFigures {
  const load = Math.max(0, (loadavg()[0] ?? 0) - ownThreads) / availableParallelism();
  return {
    celsius: readTemperature(),
    freeBytes: readMemory()?.availableBytes ?? null,
    load,
    isOnBattery: readPower() === "battery",
  };
}

/**
 * Why training has to wait; null: it may go on. A pure decision.
 * @param isWaiting  it waits already: the heat then has to go further down than it came up
 */
export function closedGate(figures: DeviceFigures, limits: GateLimits, isWaiting: boolean): string | null {
  const { celsius, freeBytes, load, isOnBattery } = figures;
  const { maxCelsius = Number.POSITIVE_INFINITY, minFreeBytes = 0, maxLoad = Number.POSITIVE_INFINITY } = limits;
  const hottest = isWaiting ? maxCelsius - coolDownBy : maxCelsius;
  if (celsius !== null && celsius > hottest) return `the processor has ${celsius.toFixed(0)} °C, at most ${hottest}`;
  if (freeBytes !== null && freeBytes < minFreeBytes)
    return `${mebibytes(freeBytes)} of memory are free, at least ${mebibytes(minFreeBytes)} are to be`;
  if (load > maxLoad) return `the load is ${load.toFixed(1)} per core, at most ${maxLoad}`;
  if (isOnBattery && limits.onBattery === false) return "the device runs on its battery";
  return null;
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
