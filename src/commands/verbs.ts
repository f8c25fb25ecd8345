import type { Verb } from "./verb.ts";

/** Every verb of the command line, in the order that `tidegate --help` lists them. */
export const verbs: readonly Verb[] = [
  { name: "run", summary: "the gateway daemon (systemd runs this)", load: () => import("./run.ts") },
  { name: "sink", summary: "the cloud side: opens what gateways send", load: () => import("./sink.ts") },
  {
    name: "coordinator",
    summary: "the cloud side: rounds in which a fleet learns together",
    load: () => import("./coordinator.ts"),
  },
  { name: "demo", summary: "everything on this machine, on real sensor data", load: () => import("./demo.ts") },
  { name: "init", summary: "write configuration, profile and keys for this device", load: () => import("./init.ts") },
  { name: "discover", summary: "listen to the site's broker and propose streams", load: () => import("./discover.ts") },
  {
    name: "check",
    summary: "preflight: configuration, keys, brokers, models, disk, clock, memory",
    load: () => import("./check.ts"),
  },
  { name: "status", summary: "the running daemon, live", load: () => import("./status.ts") },
  { name: "try", summary: "run recorded payloads through a stream without a broker", load: () => import("./try.ts") },
  { name: "replay", summary: "publish a recorded CSV or NDJSON as the sensors did", load: () => import("./replay.ts") },
  { name: "model", summary: "ls | show | verify", load: () => import("./model.ts") },
  { name: "buffer", summary: "stats | export", load: () => import("./buffer.ts") },
  { name: "dead", summary: "ls | show | replay | purge (dead letters)", load: () => import("./dead.ts") },
  {
    name: "keys",
    summary: "new | show | rotate | retire | trust | revoke | token | adopt | backup | restore",
    load: () => import("./keys.ts"),
  },
  {
    name: "config",
    summary: "get | set | unset | validate | diff | push | reset-remote | acl | schema",
    load: () => import("./config.ts"),
  },
  { name: "policy", summary: "show | test (who may change what from afar)", load: () => import("./policy.ts") },
  { name: "audit", summary: "ls | verify (what was decided)", load: () => import("./audit.ts") },
  { name: "diag", summary: "collect (a support bundle without secrets)", load: () => import("./diag.ts") },
  {
    name: "fleet",
    summary: "status | enroll | join | remove | rounds (start | stop | history)",
    load: () => import("./fleet.ts"),
  },
  { name: "data", summary: "open (a sealed batch, with the data key)", load: () => import("./data.ts") },
];
