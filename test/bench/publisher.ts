/**
 * Publishes prepared MQTT 3.1.1 packets as fast as the broker takes them, or at a rate.
 * usage: publisher.ts PORT COUNT QOS RATE(0 = as fast as it goes) TOPICS
 * Speaks the protocol itself, since a client library would cost as much as what is measured.
 */
import { connect } from "node:net";

const [, , port = "1883", countText = "0", qosText = "0", rateText = "0", topicsText = "4"] = process.argv;
const count = Number(countText);
const qos = Number(qosText);
const rate = Number(rateText);
const topics = Number(topicsText);

function remainingLength(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? digit | 128 : digit);
  } while (rest > 0);
  return bytes;
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

function packet(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, ...remainingLength(body.length)]), body]);
}

const connectPacket = packet(
  0x10,
  Buffer.concat([text("MQTT"), Buffer.from([4, 2, 0, 60]), text(`bench-publisher-${process.pid}`)]),
);

const startTs = Date.now();
let startedAt = 0;
let payloadBytes = 0;

/** The noise of a sensor's last digit, the same in every run: without it columns compress to nothing. */
let seed = 1;
function noise(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return (seed / 2 ** 32 - 0.5) / 10;
}

/** A mote's reading of about 75 bytes, at the time when it is due: no two of a source share one. */
function publishPacket(i: number): Buffer {
  const payload = Buffer.from(
    JSON.stringify({
      // Two readings of a source with the same time may be alike, and would count as duplicates.
      ts: startTs + (rate > 0 && rate <= 1_000 ? Math.floor((i * 1000) / rate) : i),
      temperature: Math.round((20 + 5 * Math.sin(i / 500) + noise()) * 100) / 100,
      humidity: Math.round((45 + 5 * Math.cos(i / 700) + noise()) * 100) / 100,
      n: i,
    }),
  );
  payloadBytes += payload.length;
  const topic = text(`bench/${i % topics}/env`);
  const id = qos > 0 ? Buffer.from([((i % 65_535) + 1) >> 8, ((i % 65_535) + 1) & 255]) : Buffer.alloc(0);
  return packet(0x30 | (qos << 1), Buffer.concat([topic, id, payload]));
}

const socket = connect(Number(port), "127.0.0.1");
socket.setNoDelay(true);
let acknowledged = 0;
let sent = 0;

/** At most this many unacknowledged: a real publisher has a window, and the broker's queue stays bounded. */
const window = 1_000;

function done(): void {
  socket.end(Buffer.from([0xe0, 0]));
  console.log(JSON.stringify({ sent, acknowledged, startedAt, payloadBytes }));
}

function pump(): void {
  while (sent < count && (qos === 0 || sent - acknowledged < window)) {
    const until = Math.min(count, sent + 200, qos === 0 ? count : acknowledged + window);
    const packets: Buffer[] = [];
    while (sent < until) packets.push(publishPacket(sent++));
    if (!socket.write(Buffer.concat(packets))) {
      socket.once("drain", pump);
      return;
    }
  }
  if (sent === count && qos === 0) done();
}

function pace(): void {
  const begin = performance.now();
  const timer = setInterval(() => {
    const due = Math.min(count, Math.floor(((performance.now() - begin) / 1000) * rate));
    while (sent < due) socket.write(publishPacket(sent++));
    if (sent === count) {
      clearInterval(timer);
      if (qos === 0) done();
    }
  }, 1);
}

// Of what the broker sends only two packets matter, and both are four bytes long: CONNACK and PUBACK.
let held = Buffer.alloc(0);
socket.on("data", (chunk) => {
  held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
  while (held.length >= 4) {
    const type = held[0];
    held = held.subarray(4);
    if (type === 0x20) {
      startedAt = Date.now();
      if (rate > 0) pace();
      else pump();
    } else if (type === 0x40) {
      acknowledged++;
    }
  }
  if (qos > 0 && acknowledged === count) done();
  else if (qos > 0 && sent > 0 && rate === 0) pump();
});
socket.write(connectPacket);
