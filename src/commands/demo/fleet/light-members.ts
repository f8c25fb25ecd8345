import { join } from "node:path";
import { silentLog } from "../../../base/log.ts";
import { seededRandom } from "../../../base/random.ts";
import { dataLearner } from "../../simulation/data-learner.ts";
import { LightGateway } from "../../simulation/light-gateway.ts";
import type { LocalFleet } from "../../simulation/local-fleet.ts";
import { noMisconduct, traitsOf } from "../../simulation/misconduct.ts";
import type { LearningTask } from "./learning-task.ts";

const maxPayload = 122_880;

/** Gateways without sensors, that learn from what the task gives them; members of the fleet when it resolves. */
export async function startLightMembers(
  task: LearningTask,
  { fleet, url, dir }: { readonly fleet: LocalFleet; readonly url: string; readonly dir: string },
): Promise<LightGateway[]> {
  const traits = traitsOf(task.parts.length, 1, noMisconduct);
  const members = task.parts.map(
    ({ id, data }, i) =>
      new LightGateway({
        ...{ id, url, fleet: "demo", model: task.bundle.name, trusted: [fleet.publicKey], dir: join(dir, id) },
        learner: dataLearner(task.bundle, data),
        traits: traits[i] as (typeof traits)[number],
        random: seededRandom(i),
        maxPayload,
        onStanding: () => {},
        log: silentLog,
      }),
  );
  for (const member of members) {
    await fleet.enrol(member.id, member.keys.signer.publicKey);
    await member.start();
  }
  return members;
}
