/**
 * What one writes in an afternoon: await the model for each message, insert each message, sealed.
 * usage: plain-script.ts URL COUNT MODEL DATABASE WINDOW
 */
import Database from "better-sqlite3";
import mqtt from "mqtt";
import * as ort from "onnxruntime-node";
import nacl from "tweetnacl";

const [, , url = "", count = "0", model = "", file = "", size = "16"] = process.argv;
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
const database = new Database(file);
database.pragma("journal_mode = WAL");
database.exec("CREATE TABLE reading (id INTEGER PRIMARY KEY, nonce BLOB, body BLOB)");
const insert = database.prepare("INSERT INTO reading (nonce, body) VALUES (?, ?)");
const key = nacl.randomBytes(32);
const window = new Float32Array(Number(size) * 2);
const input = session.inputNames[0] ?? "x";

let seen = 0;
let done = 0;
let first = 0n;
let cpu = process.cpuUsage();
const client = mqtt.connect(url, { protocolVersion: 5 });
client.on("message", async (_topic, payload) => {
  if (seen++ === 0) {
    first = process.hrtime.bigint();
    cpu = process.cpuUsage();
  }
  const reading = JSON.parse(payload.toString()) as { temperature: number; humidity: number };
  window.copyWithin(0, 2);
  window.set([reading.temperature, reading.humidity], window.length - 2);
  await session.run({ [input]: new ort.Tensor("float32", window.slice(), [1, Number(size), 2]) });
  const nonce = nacl.randomBytes(24);
  insert.run(nonce, nacl.secretbox(payload, nonce, key));
  if (++done < Number(count)) return;
  const used = process.cpuUsage(cpu);
  const seconds = Number(process.hrtime.bigint() - first) / 1e9;
  console.log(JSON.stringify({ count: done, seconds, cpuSeconds: (used.user + used.system) / 1e6 }));
  process.exit(0);
});
client.on("connect", () => client.subscribe("bench/#", { qos: 0 }, () => console.log("ready")));
