import { statfsSync } from "node:fs";
import { arch } from "node:process";
import type { BufferStats } from "../../buffer/commit.ts";
import { type ProcessFigures, readProcess } from "../../drivers/host.ts";
import type { Gateway } from "../../gateway.ts";
import type { LoopLag } from "../../ops/loop-lag.ts";
import type { MetricSources, Samples } from "../../ops/metrics.ts";

/** Where the daemon's metrics come from. `stats` of the journal are those of the last look, since asking takes its thread. */
export function metricSources(
  gateway: () => Gateway,
  version: string,
  dataDir: string,
  stats: () => BufferStats | null,
  lag: LoopLag,
): MetricSources {
  // A scrape reads dozens of figures in one turn of the loop: one look serves them all.
  let seen: ReturnType<Gateway["status"]> | undefined;
  const status = () => {
    if (seen === undefined) setImmediate(() => (seen = undefined));
    seen ??= gateway().status();
    return seen;
  };
  type Stream = ReturnType<Gateway["status"]>["streams"][string];
  const perStream = (pick: (stream: Stream) => number) => (): Samples =>
    Object.entries(status().streams).map(([name, stream]) => [[name], pick(stream)] as const);
  const links = (pick: (link: NonNullable<ReturnType<Gateway["status"]>["site"]>) => number) => (): Samples => {
    const { site, cloud } = status();
    return [["site", site] as const, ["cloud", cloud] as const].flatMap(([name, link]) =>
      link ? [[[name], pick(link)] as const] : [],
    );
  };
  const buffered = (pick: (stats: BufferStats) => number) => (): Samples => {
    const known = stats();
    return known ? pick(known) : [];
  };
  const processes = (pick: (figures: ProcessFigures) => number) => (): Samples =>
    [["gateway", process.pid] as const, ["models", status().modelProcess.pid] as const].flatMap(([name, pid]) => {
      const figures = pid === undefined ? null : readProcess(pid);
      return figures ? [[[name], pick(figures)] as const] : [];
    });
  return {
    tidegate_build_info: () => [[[version, process.version, arch, status().profile], 1]],
    tidegate_uptime_seconds: () => process.uptime(),
    tidegate_part_healthy: () =>
      Object.entries(status().health.parts).map(([name, { state }]) => [[name], state === "ok" ? 1 : 0] as const),
    tidegate_messages_received_total: perStream(({ messages }) => messages),
    tidegate_messages_repeated_total: perStream(({ repeats }) => repeats),
    tidegate_fields_skipped_total: perStream(({ skipped }) => skipped),
    tidegate_readings_stored_total: perStream(({ stored }) => stored),
    tidegate_readings_dropped_total: () =>
      Object.entries(status().streams).flatMap(([name, { shed, refused }]) => [
        [[name, "storage"], shed] as const,
        [[name, "intake"], refused] as const,
        ...Object.entries(stats()?.streams[name]?.dropped ?? {})
          .filter(([reason]) => reason !== "storage")
          .map(([reason, n]) => [[name, reason], n] as const),
      ]),
    tidegate_windows_dropped_total: () =>
      Object.entries(status().streams).flatMap(([name, { dropped }]) =>
        Object.entries(dropped).map(([reason, n]) => [[name, reason], n] as const),
      ),
    tidegate_inferences_total: () =>
      Object.entries(status().streams).flatMap(([name, { model, inferences }]) =>
        model ? [[[name, model], inferences] as const] : [],
      ),
    tidegate_inferences_dropped_total: () =>
      Object.entries(status().streams).flatMap(([name, { lostWindows }]) =>
        Object.entries(lostWindows).map(([reason, n]) => [[name, reason], n] as const),
      ),
    tidegate_results_published_total: perStream(({ published }) => published),
    tidegate_model_info: () => status().models.map(({ name, version: v }) => [[name, String(v)], 1] as const),
    tidegate_model_process_restarts_total: () => status().modelProcess.restarts,
    tidegate_trainings_total: () =>
      status().trainings.outcomes.map(({ model, outcome, count }) => [[model, outcome], count] as const),
    tidegate_rounds_total: () =>
      (gateway().fleetLearning?.ends ?? []).map(({ model, outcome, count }) => [[model, outcome], count] as const),
    tidegate_model_drift_index: () =>
      Object.entries(status().trainings.drift).flatMap(([model, columns]) =>
        columns.map(({ name, psi }) => [[model, name], psi] as const),
      ),
    tidegate_training_running: () => (status().trainings.doing ? 1 : 0),
    tidegate_buffer_bytes: buffered(({ fileBytes, walBytes }) => fileBytes + walBytes),
    tidegate_buffer_wal_bytes: buffered(({ walBytes }) => walBytes),
    tidegate_outbox_oldest_age_seconds: buffered(({ outbox }) => outbox.oldestAgeSeconds),
    tidegate_disk_free_bytes: () => {
      const { bavail, bsize } = statfsSync(dataDir);
      return bavail * bsize;
    },
    tidegate_releases_total: () =>
      (status().releaseCounts?.states ?? []).map(({ state, count }) => [[state], count] as const),
    tidegate_release_received_bytes_total: () => status().releaseCounts?.receivedBytes ?? [],
    tidegate_documents_total: () =>
      Object.entries(status().documents).map(([outcome, count]) => [[outcome], count] as const),
    tidegate_link_connected: links(({ isOnline }) => (isOnline ? 1 : 0)),
    tidegate_link_unverified: links(({ isUnverified }) => (isUnverified ? 1 : 0)),
    tidegate_certificate_end_timestamp_seconds: () => {
      const { site, cloud } = status();
      return [["site", site] as const, ["cloud", cloud] as const].flatMap(([name, link]) =>
        Object.entries(link?.certificates ?? {}).flatMap(([whose, end]) =>
          end === null ? [] : [[[name, whose], end / 1000] as const],
        ),
      );
    },
    tidegate_link_reconnects_total: links(({ connections }) => Math.max(0, connections - 1)),
    tidegate_session_lost_total: links(({ sessionsLost }) => sessionsLost),
    tidegate_acknowledgements_held: links(({ held }) => held),
    tidegate_sources_alarming: () =>
      Object.entries(status().streams).map(
        ([name, { sources }]) => [[name], sources.filter(({ verdict }) => verdict === "alarm").length] as const,
      ),
    tidegate_buffer_readings: () =>
      Object.entries(stats()?.streams ?? {}).map(([name, { readings }]) => [[name], readings] as const),
    tidegate_uplink_batches_total: () => status().uplink?.sent ?? [],
    tidegate_uplink_receipts_total: () => status().uplink?.receipts ?? [],
    tidegate_event_loop_lag_seconds: () => {
      const { p50, p99, max } = lag.value;
      return [
        [["0.5"], p50],
        [["0.99"], p99],
        [["1"], max],
      ];
    },
    tidegate_disk_written_bytes_total: () => readProcess(process.pid)?.writtenBytes ?? [],
    tidegate_resident_memory_bytes: processes(({ residentBytes }) => residentBytes),
    tidegate_cpu_seconds_total: processes(({ cpuSeconds }) => cpuSeconds),
  };
}
