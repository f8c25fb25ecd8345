/** The configuration of the demo's gateway, as a user would write it. */
export function demoConfig(siteUrl: string, cloudUrl: string, dataKey: string): string {
  return `version: 1
gateway: { id: demo-gateway, fleet: demo, dataDir: data, logLevel: warn }
sensors: { url: "${siteUrl}" }
cloud: { url: "${cloudUrl}", dataKey: "${dataKey}" }
buffer: { commitMaxDelay: 200ms, minFree: 1% }
streams:
  env:
    topic: "motes/{mote}/env"
    codec: json
    fields: { humidity: humidity, temperature: temperature }
    timestamp: ts
    model: mote-anomaly
    alarm: { onAfter: 1, offAfter: 16, silentAfter: 0s }
    publish: { when: all, retain: false, minInterval: 0s }
    uplink: aggregates
    aggregate: { every: 10m }
`;
}
