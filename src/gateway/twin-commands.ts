import * as z from "zod";
import type { Tree } from "../config/layers.ts";
import type { CommandTable } from "../control/commands.ts";
import { overlayNeeds } from "../control/overlay-rules.ts";
import type { Policy } from "../control/policy.ts";
import type { Twin } from "../control/twin.ts";

const overlay = z.strictObject({ config: z.record(z.string(), z.unknown()) });

/** Commands about the configuration from afar. */
export const twinCommands = (twin: Twin, policy: () => Policy | null): CommandTable => ({
  /** A dry run: what would be wrong with a configuration here. */
  "config.check": {
    action: "config.set",
    isDestructive: false,
    params: overlay,
    resource: ({ config }) => overlayNeeds(config as Tree).resource,
    run: async ({ config }) => ({ errors: twin.check(config as Tree, policy(), []) }),
  },
  "config.reset": {
    action: "config.reset",
    isDestructive: true,
    params: z.strictObject({}),
    // The parts that talk with the cloud are among those that start anew: nobody here may wait for it.
    run: async () => void twin.reset("by command"),
  },
});
