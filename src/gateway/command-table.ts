import * as z from "zod";
import type { Journal } from "../buffer/journal.ts";
import type { CommandTable } from "../control/commands.ts";
import type { ModelUpdates } from "../control/model-updates.ts";
import { type Erasures, erasureSchema } from "./erasures.ts";

const none = z.strictObject({});

/** Every signed command that the gateway knows, by name: what the policy is asked, and who does it. */
export const gatewayCommands = (gateway: {
  readonly journal: Journal;
  readonly erasures: Pick<Erasures, "erase">;
  /** Undefined where nobody may bring new versions of models. */
  readonly updates: Pick<ModelUpdates, "rollBack"> | undefined;
  flush(): Promise<void>;
}): CommandTable => ({
  "data.erase": {
    action: "data.erase",
    isDestructive: true,
    params: erasureSchema,
    resource: ({ stream }) => (typeof stream === "string" ? { stream } : {}),
    run: async (params) => {
      await gateway.flush();
      return gateway.erasures.erase(params);
    },
  },
  "model.rollback": {
    action: "model.rollback",
    isDestructive: true,
    params: z.strictObject({ model: z.string().max(64) }),
    resource: ({ model }) => ({ model: String(model) }),
    run: async ({ model }) => gateway.updates?.rollBack(String(model)),
  },
  "keys.rotate": {
    action: "keys.rotate",
    isDestructive: true,
    params: none,
    run: () => gateway.journal.rotateKeys(),
  },
});
