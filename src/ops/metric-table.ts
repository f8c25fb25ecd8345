type MetricDefinition = {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[];
};

/** From a model of a few microseconds to one that is too slow for its device, seconds. */
const inferenceBuckets = [0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];
/** From an SSD to a memory card that is at its end, seconds. */
const commitBuckets = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const latencyBuckets = [0.001, 0.003, 0.005, 0.015, 0.05, 0.15, 0.5, 2, 10, 60];

const counter = (help: string, ...labels: string[]) => ({ type: "counter", help, labels }) as const;
const gauge = (help: string, ...labels: string[]) => ({ type: "gauge", help, labels }) as const;
const histogram = (help: string, buckets: readonly number[], ...labels: string[]) =>
  ({ type: "histogram", help, labels, buckets }) as const;

/** Every metric, once: name, what it tells, its labels in the order in which their values are given. */
export const metricTable = {
  tidegate_build_info: gauge("Constant 1; the labels tell what runs.", "version", "node", "arch", "profile"),
  tidegate_uptime_seconds: gauge("Time since the daemon was started."),
  tidegate_part_healthy: gauge("1 while this part of the daemon is well, else 0.", "part"),

  tidegate_messages_received_total: counter("Messages taken from the site's broker.", "stream"),
  tidegate_messages_repeated_total: counter("Redelivered messages that were stored already.", "stream"),
  tidegate_dead_letters_total: counter("Messages that could not be read.", "stream", "reason"),
  tidegate_fields_skipped_total: counter("Fields that a payload lacked.", "stream"),
  tidegate_readings_stored_total: counter("Readings committed to the journal.", "stream"),
  tidegate_readings_dropped_total: counter("Readings that were lost, by reason.", "stream", "reason"),
  tidegate_windows_dropped_total: counter("Readings left out of windows, by reason.", "stream", "reason"),

  tidegate_inferences_total: counter("Windows and payloads that a model has judged.", "stream", "model"),
  tidegate_inferences_dropped_total: counter("Windows that were never judged, by reason.", "stream", "reason"),
  tidegate_inference_duration_seconds: histogram("Time of one batch in the model process.", inferenceBuckets, "model"),
  tidegate_result_latency_seconds: histogram("From a message's arrival to its result.", latencyBuckets, "stream"),
  tidegate_results_published_total: counter("Results handed to the site's broker.", "stream"),
  tidegate_sources_alarming: gauge("Sources whose verdict is `alarm` now.", "stream"),
  tidegate_model_info: gauge("Constant 1; the labels tell what is loaded.", "model", "version"),
  tidegate_model_process_restarts_total: counter("Times the model process had to be started again."),

  tidegate_trainings_total: counter(
    "Trainings by outcome: installed, kept (the gate did not open), skipped, stopped, diverged, failed.",
    "model",
    "outcome",
  ),
  tidegate_training_running: gauge("1 while a model is trained or waits for it."),

  tidegate_rounds_total: counter(
    "Rounds of the fleet by how they ended here: accepted, duplicate, stale, rejected, given-up, declined, refused, not-selected.",
    "model",
    "outcome",
  ),
  tidegate_model_drift_index: gauge(
    "Population stability index of a model's fields and losses since it was trained, measured at each training; above 0.25 is much.",
    "model",
    "column",
  ),

  tidegate_commit_duration_seconds: histogram("Time of one commit, with its fsync.", commitBuckets),
  tidegate_commit_failures_total: counter("Commits that the disk did not take."),
  tidegate_buffer_bytes: gauge("Size of the journal with its write-ahead log."),
  tidegate_buffer_readings: gauge("Readings in the journal.", "stream"),
  tidegate_buffer_wal_bytes: gauge("Size of the journal's write-ahead log."),
  tidegate_disk_free_bytes: gauge("Free space of the data directory's disk."),
  tidegate_disk_written_bytes_total: counter("Bytes that the daemon has had written to the device."),

  tidegate_outbox_messages: gauge("Messages that are owed to the cloud.", "lane"),
  tidegate_outbox_oldest_age_seconds: gauge("Age of the oldest message that is owed to the cloud; 0: none is."),
  tidegate_uplink_batches_total: counter("Batches sent to the cloud, repeats included."),
  tidegate_uplink_bytes_total: counter("Bytes of those batches."),
  tidegate_uplink_receipts_total: counter("Receipts that the sink gave."),

  tidegate_releases_total: counter(
    "Releases of models that reached a state: active, refused, rolled-back and others.",
    "state",
  ),
  tidegate_release_received_bytes_total: counter("Bytes that came for releases of models."),
  tidegate_documents_total: counter("Signed documents by outcome: accepted, or why they were refused.", "outcome"),

  tidegate_link_connected: gauge("1 while this broker is connected, else 0.", "link"),
  tidegate_link_unverified: gauge(
    "1 while any certificate of this broker is taken (`tls.insecureSkipVerify`).",
    "link",
  ),
  tidegate_certificate_end_timestamp_seconds: gauge(
    "When a certificate stops being valid, seconds since 1970; `broker`: the first of its chain.",
    "link",
    "certificate",
  ),
  tidegate_link_reconnects_total: counter("Times that the connection was made again.", "link"),
  tidegate_session_lost_total: counter("Times that a broker had forgotten the session.", "link"),
  tidegate_acknowledgements_held: gauge("Messages that wait for their commit to be acknowledged.", "link"),

  tidegate_coordinator_leading: gauge("1 while this coordinator leads its fleet, else 0."),
  tidegate_coordinator_epoch: gauge("Grows with every coordinator that takes the lead."),
  tidegate_fleet_members: gauge("Gateways that belong to the fleet."),
  tidegate_round_number: gauge("The newest round.", "model"),
  tidegate_round_updates: gauge("Updates that count in it.", "model"),
  tidegate_update_parts_total: counter("Messages with parts of updates."),
  tidegate_update_bytes_total: counter("Bytes of those messages."),
  tidegate_updates_accepted_total: counter("Updates that were taken."),
  tidegate_updates_refused_total: counter("Updates that were not taken, by reason.", "reason"),

  tidegate_event_loop_lag_seconds: gauge("How late the main thread got to its work in the last minute.", "quantile"),
  tidegate_resident_memory_bytes: gauge("Resident memory.", "process"),
  tidegate_cpu_seconds_total: counter("Processor time.", "process"),
  tidegate_log_lines_lost_total: counter("Log lines that nobody read in time."),
  tidegate_scrape_failures_total: counter("Metrics that could not be collected."),
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricTable;
export type HistogramName = {
  [K in MetricName]: (typeof metricTable)[K]["type"] extends "histogram" ? K : never;
}[MetricName];
/** Counters and gauges: read when somebody asks. */
export type ReadName = Exclude<MetricName, HistogramName>;
