import { Crowd } from "./crowd.ts";
import type { CrowdAnswer, CrowdOrder } from "./crowd-child.ts";

// The entry of a process that holds a part of the simulated gateways. It ends when its parent does.

let crowd: Crowd | undefined;
const say = (answer: CrowdAnswer): void => void process.send?.(answer);

async function obey(order: CrowdOrder): Promise<void> {
  if (order.order === "make") {
    crowd = new Crowd(order.plan, order.from, order.to);
    say({ answer: "made", keys: crowd.keys });
  } else if (order.order === "start") {
    await crowd?.start();
    say({ answer: "started" });
  } else if (order.order === "count") say({ answer: "counted", counts: crowd?.counts ?? { ends: {}, sentBytes: 0 } });
  else {
    await crowd?.stop();
    process.disconnect();
  }
}

process.on("message", (order: CrowdOrder) => {
  obey(order).catch((thrown: unknown) => {
    console.error(thrown);
    process.exit(70);
  });
});
process.on("disconnect", () => process.exit(0));
// The parent hears the signal, too, and says what is to be done.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
