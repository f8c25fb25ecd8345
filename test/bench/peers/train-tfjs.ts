/** Trains one of the benchmark's models with TensorFlow.js: MODEL BACKEND SECONDS FOLDER; prints as train-pytorch.py does. */
import { createRequire } from "node:module";
import { join } from "node:path";

const [name = "", backend = "cpu", seconds = "2", folder = ""] = process.argv.slice(2);
const load = createRequire(join(folder, "package.json"));
const tf = load("@tensorflow/tfjs-core");
const { layers, sequential } = load("@tensorflow/tfjs-layers");
load("@tensorflow/tfjs-backend-cpu");
const wasm = load("@tensorflow/tfjs-backend-wasm");

const batch = 32;
const dense = (units: number, more: object = {}) => layers.dense({ units, ...more });
const relu = { activation: "relu" };
const convolution = (filters: number, more: object = {}) =>
  layers.conv2d({ filters, kernelSize: 5, padding: "same", ...relu, ...more });
const pool = () => layers.maxPooling2d({ poolSize: 2, strides: 2 });

const networks: Record<string, { layers: () => unknown[]; dims: number[]; rows: number; adam: boolean }> = {
  autoencoder: {
    layers: () => [dense(16, { ...relu, inputShape: [32] }), dense(8, relu), dense(16, relu), dense(32)],
    dims: [32],
    rows: 8192,
    adam: true,
  },
  mlp: {
    layers: () => [dense(200, { ...relu, inputShape: [784] }), dense(200, relu), dense(10)],
    dims: [784],
    rows: 4096,
    adam: true,
  },
  cnn: {
    layers: () => [
      ...[convolution(32, { inputShape: [28, 28, 1] }), pool(), convolution(64), pool(), layers.flatten()],
      ...[dense(512, relu), dense(10)],
    ],
    dims: [28, 28, 1],
    rows: 4096,
    adam: false,
  },
};

const network = networks[name];
if (!network) throw new Error(`no network ${name}`);
wasm.setWasmPaths(`${folder}/node_modules/@tensorflow/tfjs-backend-wasm/dist/`);
await tf.setBackend(backend);
await tf.ready();
const net = sequential({ layers: network.layers() });
const optimizer = network.adam ? tf.train.adam(1e-3) : tf.train.sgd(0.05);
const rows = tf.randomUniform([network.rows, ...network.dims]);
const labels = tf.cast(tf.oneHot(tf.randomUniform([network.rows], 0, 10, "int32"), 10), "float32");

function step(from: number): number {
  return tf.tidy(() => {
    const x = tf.slice(rows, from, batch);
    const loss = optimizer.minimize(() => {
      const y = net.apply(x, { training: true });
      return name === "autoencoder"
        ? tf.losses.meanSquaredError(x, y)
        : tf.losses.softmaxCrossEntropy(tf.slice(labels, from, batch), y);
    }, true);
    return loss.dataSync()[0];
  });
}

function run(lasting: number): { steps: number; loss: number } {
  const until = performance.now() + lasting * 1000;
  for (let steps = 1; ; steps++) {
    const loss = step((steps * batch) % (network?.rows ?? batch));
    if (performance.now() >= until) return { steps, loss };
  }
}

step(0);
console.log("first");
run(0.3);
const [at, cpu] = [performance.now(), process.cpuUsage()];
const { steps, loss } = run(Number(seconds));
const { user, system } = process.cpuUsage(cpu);
console.log(
  JSON.stringify({
    ...{ msPerStep: (performance.now() - at) / steps, cpuMsPerStep: (user + system) / 1e3 / steps, steps, loss },
    memoryMB: (process.resourceUsage().maxRSS * 1024) / 1e6,
    version: `TensorFlow.js ${tf.version_core} on ${backend}`,
  }),
);
