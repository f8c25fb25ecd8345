import { validate } from "node-cron";
import * as z from "zod";
import { expectedWords, listOf, mapOf, type OptionWords, section } from "./option.ts";
import {
  bytes,
  decimal,
  duration,
  enumeration,
  flag,
  formed,
  id,
  integer,
  type Parsed,
  path,
  secretPath,
  share,
  text,
} from "./option-values.ts";
import { streamSchema } from "./stream-schema.ts";

const urlFact = { type: "URL", range: "mqtt:// or mqtts://", json: { type: "string", format: "uri" } };

function parseUrl(written: unknown): Parsed<string> {
  const fault = expectedWords("a URL such as mqtt://127.0.0.1:1883", written);
  if (typeof written !== "string" || !URL.canParse(written)) return { fault };
  const url = new URL(written);
  if (!["mqtt:", "mqtts:"].includes(url.protocol)) return { fault };
  if (url.password !== "")
    return { fault: "a password has no place here: put it in a file and name it in passwordFile" };
  return { value: written };
}

const cronFact = { type: "schedule", range: "five or six fields, as cron has them", json: { type: "string" } };
const parseCron = (written: unknown): Parsed<string> =>
  typeof written === "string" && validate(written)
    ? { value: written.trim() }
    : { fault: expectedWords('a schedule such as "0 2 * * *"', written) };
const cron = <const W extends OptionWords & { default: string }>(words: W) =>
  formed<string, W>(words, cronFact, parseCron);

/** What both brokers have. Whoever can change it can lead the gateway elsewhere. */
const link = {
  username: text({ remote: "guarded", doc: "User name.", example: "tidegate" }),
  passwordFile: secretPath({
    remote: "guarded",
    doc: "File with the password; a plain name is looked for in `$CREDENTIALS_DIRECTORY` first, as for `tls.key`.",
    example: "mqtt-password",
  }),
  tls: section(
    {
      ca: path({
        remote: "guarded",
        doc: "Certificates (PEM) that are trusted instead of the system's.",
        example: "ca.pem",
      }),
      cert: path({ remote: "guarded", doc: "Client certificate (PEM).", example: "client.pem" }),
      key: secretPath({ remote: "guarded", doc: "Key of the client certificate (PEM).", example: "client-key.pem" }),
      servername: text({
        remote: "guarded",
        doc: "Name that the broker's certificate has, when it is not the host of the URL.",
        example: "broker.example.com",
      }),
      insecureSkipVerify: flag({
        doc: "Takes any certificate: whoever is on the network can read and change everything. For tests alone; every start warns of it.",
        default: false,
      }),
    },
    { doc: "TLS, for mqtts:." },
  ),
  clientId: text({
    remote: "guarded",
    doc: "Client id. Absent: `{fleet}-{gateway}-site` or `-cloud`. Results go to the site by a second client, with `-results` behind it.",
    max: 128,
    example: "demo-gw-1-site",
  }),
  protocol: enumeration(["auto", "5", "3.1.1"], {
    remote: "guarded",
    doc: "MQTT version; auto: 5, and 3.1.1 when that is refused.",
    default: "auto",
  }),
  receiveMaximum: integer({
    remote: "guarded",
    doc: "MQTT 5: unacknowledged messages that the broker may send.",
    default: 8192,
    min: 16,
    max: 65_535,
  }),
  sessionExpiry: duration({
    remote: "guarded",
    doc: "MQTT 5: how long the broker keeps what arrives while the gateway is away.",
    default: "7d",
    max: "49710d",
  }),
  keepalive: duration({
    remote: "guarded",
    doc: "Longest silence before the connection is probed.",
    default: "30s",
    min: "1s",
    max: "18h",
  }),
  connectTimeout: duration({
    remote: "guarded",
    doc: "Longest wait for the broker's answer to a connection.",
    default: "30s",
    min: "1s",
    max: "10m",
  }),
};

const urlOf = <const W extends OptionWords & { required: true }>(words: W) =>
  formed<string, W>(words, urlFact, parseUrl);

const provider = z.enum(["cpu", "cuda", "tensorrt"], { error: "expected cpu, cuda or tensorrt" });
const publicKey = {
  form: /^[A-Za-z0-9+/_-]{43}=?$/,
  called: "a key of 32 bytes in base64",
  type: "key",
  example: `${"A".repeat(43)}=`,
};

/** The whole configuration. */
export const configSchema = z.strictObject({
  version: formed<1, { doc: string; default: 1; sample: 1 }>(
    { doc: "Version of this form of configuration.", default: 1, sample: 1 },
    { type: "1", json: { const: 1 } },
    (written) =>
      written === 1 || written === "1" ? { value: 1 } : { fault: "this version of Tidegate reads version 1" },
  ),
  gateway: section(
    {
      id: id({ doc: "Name of this gateway; `auto`: from the machine's id.", default: "auto", sample: "gw-1" }),
      fleet: id({ doc: "Fleet that it belongs to.", default: "default" }),
      profile: id({ doc: "Device profile; `auto`: detected.", default: "auto" }),
      dataDir: path({ doc: "Where readings, keys and models are kept.", default: "/var/lib/tidegate" }),
      logLevel: enumeration(["trace", "debug", "info", "warn", "error"], {
        doc: "What is logged.",
        default: "info",
        remote: true,
      }),
    },
    { doc: "This device.", default: {} },
  ),
  sensors: section(
    {
      url: urlOf({ doc: "Its address.", required: true, remote: "guarded", sample: "mqtt://127.0.0.1:1883" }),
      ...link,
    },
    { doc: "The site's broker.", required: true },
  ),
  cloud: section(
    {
      url: urlOf({
        doc: "Its address.",
        required: true,
        remote: "guarded",
        example: "mqtts://broker.example.com:8883",
      }),
      ...link,
      maxPayload: bytes({
        remote: true,
        doc: "Largest message that is sent.",
        default: "120KiB",
        min: "4KiB",
        max: "1MiB",
      }),
      forwardErasures: flag({
        doc: "Tell the sink of every erasure, so that it erases what it has of this gateway, too.",
        default: true,
      }),
      dataKey: text({
        remote: "guarded",
        doc: "Public key of the sink (X25519, 32 bytes in base64): what is sent is sealed to it. Absent: taken from what the sink announces, signed by `dataSigner`.",
        ...publicKey,
      }),
      dataSigner: text({
        remote: "guarded",
        doc: "Public key (Ed25519, 32 bytes in base64) whose signature makes an announced data key trusted.",
        ...publicKey,
      }),
    },
    { doc: "The cloud's broker. Absent: the gateway stands alone." },
  ),
  policy: path({
    remote: "guarded",
    doc: "File that says who may change what from afar (docs/guides/policy.md). Absent: nobody may change anything.",
    example: "policy.yaml",
  }),
  streams: mapOf(streamSchema, { doc: "Streams by name.", default: {}, sampleName: "env" }),
  models: section(
    {
      dir: path({
        doc: "Folder of model bundles; `<dataDir>/models` is looked at first. Absent: those of the package.",
        example: "/usr/share/tidegate/models",
      }),
      threads: integer({ doc: "Threads of one run.", default: 1, byProfile: true, min: 1, max: 64 }),
      maxBatch: integer({ doc: "Most windows in one run.", default: 256, byProfile: true, min: 1, max: 4096 }),
      providers: listOf(provider, {
        doc: "Execution providers in order of preference; cpu always is the last.",
        default: ["cpu"],
        byProfile: true,
        max: 4,
      }),
      updates: section(
        {
          watch: duration({
            doc: "How long a new version that came from the cloud is watched; it goes back by itself when it fails or alarms far more than the one before.",
            default: "10m",
            min: "1s",
            max: "7d",
          }),
          trialWindows: integer({
            doc: "Windows that a new version is tried on first, beside the one that runs.",
            default: 256,
            min: 1,
            max: 100_000,
          }),
          trialTime: duration({
            doc: "Longest time for that; what has come by then counts.",
            default: "10m",
            min: "1s",
            max: "7d",
          }),
        },
        { doc: "New versions from the cloud: only those that the policy lets in.", default: {} },
      ),
    },
    { doc: "Models.", default: {} },
  ),
  buffer: section(
    {
      maxBytes: bytes({ doc: "Most that the buffer may take, its log included.", default: "2GiB", min: "1MiB" }),
      minFree: share({ doc: "What is left free on the disk.", default: "10%" }),
      commitMaxDelay: duration({
        doc: "Longest time that a reading waits for its commit: what a power cut of gateway and broker together can lose. SD card 5s, eMMC 1s, SSD 200ms.",
        default: "1s",
        byProfile: true,
        min: "0s",
        max: "60s",
      }),
      onFull: enumeration(["shed", "hold"], {
        doc: "When the disk takes nothing for 10 s: go on without storing, or let the broker wait.",
        default: "shed",
      }),
      blockReadings: integer({ doc: "Readings that are merged into a block.", default: 1024, min: 64, max: 16_384 }),
    },
    { doc: "The encrypted buffer.", default: {} },
  ),
  schedules: section(
    {
      aggregate: cron({ doc: "Aggregation.", default: "* * * * *" }),
      retention: cron({ doc: "Removal of what is too old or too much.", default: "*/5 * * * *" }),
      merge: cron({ doc: "Merging of tail frames into blocks.", default: "*/2 * * * *" }),
      checkpoint: cron({ doc: "Checkpoint of the write-ahead log.", default: "*/10 * * * *" }),
    },
    { doc: "When housekeeping runs.", default: {} },
  ),
  training: section(
    {
      enabled: flag({
        remote: true,
        doc: "Train, by itself, the models whose cards say how (`loss`, `target`, `train`). A new version takes over only when it is shown to be better.",
        default: true,
      }),
      schedule: cron({ remote: true, doc: "When models are trained.", default: "0 2 * * *" }),
      jitter: duration({ remote: true, doc: "Random delay.", default: "1h" }),
      threads: integer({
        doc: "Threads of the trainer process. Fewer than the device has cores, so that inference keeps its time.",
        default: 1,
        min: 1,
        max: 64,
      }),
      window: integer({
        remote: true,
        doc: "Readings of a stream that are trained on: the newest.",
        default: 65_536,
        byProfile: true,
        min: 100,
        max: 10_000_000,
      }),
      minReadings: integer({
        remote: true,
        doc: "Readings below which a stream's model is not trained.",
        default: 2_000,
        min: 10,
        max: 10_000_000,
      }),
      maxExamples: integer({
        remote: true,
        doc: "Examples that are trained on; of more, a sample over all sources and times.",
        default: 100_000,
        min: 100,
        max: 10_000_000,
      }),
      replay: section(
        {
          examples: integer({
            doc: "Examples that are kept of every model's past, as many of each source and day as there is room for; 0: none.",
            default: 2_000,
            min: 0,
            max: 1_000_000,
          }),
          share: decimal({ doc: "What they weigh, of all that trains.", default: 0.2, min: 0, max: 0.9 }),
        },
        { doc: "What is trained on beside the newest readings, against forgetting.", default: {} },
      ),
      minMemory: bytes({
        doc: "Memory that must be free for the rest of the device; training waits below it.",
        default: "100MiB",
      }),
      maxLoad: decimal({
        remote: true,
        doc: "Load per core, the trainer's own left out, above which training waits.",
        default: 1.5,
        min: 0.1,
        max: 100,
      }),
      onBattery: flag({ remote: true, doc: "Train while the device runs on its battery.", default: false }),
      maxCelsius: decimal({
        remote: true,
        doc: "No training above this temperature of the processor.",
        default: 75,
        byProfile: true,
        min: 30,
        max: 110,
        unit: "°C",
      }),
    },
    { doc: "Training on the device.", default: {} },
  ),
  federation: section(
    {
      models: listOf(z.string({ error: "expected the name of a model" }), {
        doc: "Models that are learned together with the fleet: updates of their weights leave this gateway, readings do not. Each must be run by a stream. None: the gateway takes no part.",
        default: [],
        max: 64,
      }),
      hours: text({
        doc: "Hours of the day, by the local clock, in which rounds are trained. Absent: at any time.",
        form: /^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$/,
        called: "two times of day such as 22:00-06:00",
        type: "hours",
        example: "22:00-06:00",
      }),
    },
    { doc: "Learning with the fleet, over the cloud's broker.", default: {} },
  ),
  dashboard: section(
    {
      listen: text({
        doc: "Address and port. Other machines get in only when this is not a loopback address.",
        default: "127.0.0.1:8420",
        form: /^(\[[0-9a-f:]+\]|[^:]+):\d{1,5}$/i,
        called: "an address and a port such as 127.0.0.1:8420",
      }),
      enabled: flag({ doc: "Serve it at all.", default: true }),
    },
    { doc: "The HTTP server of /healthz, /metrics and the dashboard.", default: {} },
  ),
  control: section(
    {
      trialWindow: duration({
        doc: "How long a configuration that came from afar is on trial before it is compared with what was before.",
        default: "60s",
        min: "1s",
        max: "1d",
      }),
      socket: path({
        doc: "Control socket. Absent: `/run/tidegate/control.sock` where that folder is the daemon's, else `<dataDir>/control.sock`.",
        example: "/run/tidegate/control.sock",
      }),
    },
    { doc: "How verbs talk to the running daemon, and what comes from afar.", default: {} },
  ),
});
