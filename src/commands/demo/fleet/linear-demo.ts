import { tensor } from "../../../base/tensor.ts";
import { modelOfVersion } from "../../../coordinator/bundle-weights.ts";
import { loadSession } from "../../../drivers/onnxruntime.ts";
import { encodeModel } from "../../../onnx/model-file.ts";
import type { Io } from "../../verb.ts";
import { fleetDemo } from "./fleet-demo.ts";
import { startLightMembers } from "./light-members.ts";
import { linearTask } from "./linear-task.ts";

const asked = [0, 1, 2, 3, 4, 5];

/** The line that a fleet learns: what it foretells for 1 to 5, and where that line lies. */
export async function linearDemo(options: {
  readonly io: Io;
  readonly isJson: boolean;
  gateways: number;
  rounds?: number;
}) {
  const { io, isJson, gateways, rounds } = options;
  return fleetDemo({
    ...{ io, isJson, rounds },
    makeTask: (dir) => linearTask(dir, gateways),
    startMembers: async (task, ground) => {
      const members = await startLightMembers(task, ground);
      ground.stops.push(() => Promise.all(members.map((member) => member.stop())));
    },
    finish: async (task, newest) => {
      const session = await loadSession(encodeModel(await modelOfVersion(task.bundle, newest)));
      const { value } = await session.run({
        window: tensor("float32", [asked.length, 1, 1], Float32Array.from(asked)),
      });
      await session.release();
      const [intercept = Number.NaN, ...predictions] = Array.from(value?.data as Float32Array, Number);
      const slope = ((predictions.at(-1) ?? Number.NaN) - intercept) / 5;
      if (!isJson) {
        io.out(
          `y = ${slope.toFixed(3)} x + ${intercept.toFixed(3)}; for 1 to 5: ${predictions.map((y) => y.toFixed(2)).join(", ")}`,
        );
      }
      return { predictions, intercept, slope };
    },
  });
}
