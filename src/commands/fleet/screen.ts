import type { FleetStatus } from "../coordinator/fleet-handlers.ts";
import { since } from "../terminal/since.ts";
import { renderTable } from "../terminal/table.ts";

const roles: Readonly<Record<FleetStatus["role"], string>> = {
  leading: "leads",
  standby: "stands by: another coordinator leads",
  waiting: "waits for the broker, or for the end of another's lease",
  behind: "is behind its fleet and does not lead",
};

/** The fleet for people: the coordinator, the models' rounds, the members, who asks to be taken in. */
export function renderFleet(status: FleetStatus, now: number): string[] {
  const { fleet, role, reason, epoch, models, rollouts, members, requests, updates } = status;
  const lines = [`Fleet ${fleet}: this coordinator ${roles[role]} (epoch ${epoch}).`];
  if (reason) lines.push(`  ${reason}`);
  if (models.length > 0) {
    const rows = models.map(({ model, version, round, state, accepted, quorum, isOverdue, remaining }) => [
      ...[model, version, round, isOverdue ? `${state}, overdue` : state],
      `${accepted} of ${quorum?.target ?? "-"}, at least ${quorum?.min ?? "-"}`,
      remaining < 0 ? "no end" : String(remaining),
    ]);
    lines.push("", ...renderTable(["model", "version", "round", "state", "updates", "to come"], rows));
  }
  if (rollouts.length > 0) {
    const stands = rollouts.map(({ model, version, rule, stage, state, tally, reason: why }) => [
      ...[model, version, `${stage + 1} of ${rule.stages.length}`, `${(100 * (rule.stages[stage] ?? 1)).toFixed(0)} %`],
      ...[state, `${tally.active} run it, ${tally.underWay} under way, ${tally.failed} not`, why],
    ]);
    lines.push("", ...renderTable(["rollout", "version", "stage", "share", "state", "gateways", "reason"], stands));
  }
  const rows = members.map(({ gateway, key, since: from, removedAt, lastSeen }) => [
    ...[gateway, key.slice(0, 16), removedAt === null ? "member" : "removed"],
    since(now - (removedAt ?? from)),
    lastSeen === null ? null : `${since(now - lastSeen)} ago`,
  ]);
  lines.push("", ...renderTable(["gateway", "key", "standing", "for", "seen"], rows));
  for (const { gateway, key } of requests)
    lines.push(`${gateway} (key ${key.slice(0, 16)}) asks to be taken in: tidegate fleet enroll ${gateway}`);
  const refused = Object.entries(updates.refused).map(([why, count]) => `${count} ${why}`);
  if (updates.unopened > 0) refused.push(`${updates.unopened} could not be opened`);
  lines.push(
    "",
    `Updates: ${updates.accepted} accepted${refused.length > 0 ? `; refused: ${refused.join(", ")}` : ""}.`,
  );
  return lines;
}
