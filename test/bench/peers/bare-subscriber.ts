/** The least that an mqtt.js subscriber can do: count. usage: bare-subscriber.ts URL COUNT QOS */
import mqtt from "mqtt";

const [, , url = "", count = "0", qos = "0"] = process.argv;
const client = mqtt.connect(url, { protocolVersion: 5, properties: { receiveMaximum: 8192 } });
let seen = 0;
let first = 0n;
let cpu = process.cpuUsage();
client.on("message", () => {
  if (seen++ === 0) {
    first = process.hrtime.bigint();
    cpu = process.cpuUsage();
  }
  if (seen < Number(count)) return;
  const used = process.cpuUsage(cpu);
  const seconds = Number(process.hrtime.bigint() - first) / 1e9;
  console.log(JSON.stringify({ count: seen, seconds, cpuSeconds: (used.user + used.system) / 1e6 }));
  process.exit(0);
});
client.on("connect", () => client.subscribe("bench/#", { qos: qos === "1" ? 1 : 0 }, () => console.log("ready")));
