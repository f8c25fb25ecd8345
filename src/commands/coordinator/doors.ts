import type { Component } from "../../base/lifecycle.ts";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { HealthDocument } from "../../ops/health.ts";
import { HttpServer } from "../../ops/http-server.ts";
import type { ProcessLog } from "../../ops/log.ts";
import { Metrics } from "../../ops/metrics.ts";
import type { Link } from "../../wire/link.ts";

/** `/healthz` and `/metrics` of a coordinator. One that stands by is well; one that is behind its fleet is not. */
export function coordinatorHttp(listen: string, coordinator: Coordinator, link: Link, log: ProcessLog): Component {
  const startedAt = performance.now();
  const { intake, models, enrolments } = coordinator;
  const metrics = new Metrics({
    log,
    sources: {
      tidegate_coordinator_leading: () => (coordinator.state.role === "leading" ? 1 : 0),
      tidegate_coordinator_epoch: () => coordinator.state.epoch,
      tidegate_fleet_members: () => enrolments.count,
      tidegate_round_number: () => [...models].map(([name, { current }]) => [[name], current?.round ?? 0] as const),
      tidegate_round_updates: () => [...models].map(([name, { current }]) => [[name], current?.accepted ?? 0] as const),
      tidegate_update_parts_total: () => intake.counters.parts,
      tidegate_update_bytes_total: () => intake.counters.bytes,
      tidegate_updates_accepted_total: () => intake.counters.accepted,
      tidegate_updates_refused_total: () => [
        ...Object.entries(intake.refused).map(([reason, count]) => [[reason], count] as const),
        [["unopened"], intake.counters.unopened] as const,
      ],
      tidegate_link_connected: () => [[["cloud"], link.state.isOnline ? 1 : 0]],
    },
  });
  const health = (): HealthDocument => {
    const forMs = Math.round(performance.now() - startedAt);
    const { role, reason } = coordinator.state;
    const isHealthy = role !== "behind";
    const offline = link.state.isOnline ? {} : { reason: "no broker" };
    return {
      status: isHealthy ? (link.state.isOnline ? "ok" : "degraded") : "failed",
      isHealthy,
      uptimeMs: forMs,
      parts: {
        coordinator: { state: isHealthy ? "ok" : "failed", need: "required", forMs, ...(reason ? { reason } : {}) },
        broker: { state: link.state.isOnline ? "ok" : "degraded", need: "optional", forMs, ...offline },
      },
    };
  };
  return new HttpServer({ listen, health, metrics, log });
}
