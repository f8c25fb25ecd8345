import * as z from "zod";
import type { Journal } from "../buffer/journal.ts";
import type { CommandTable } from "../control/commands.ts";

const none = z.strictObject({});

/** Every signed command that the gateway knows, by name: what the policy is asked, and who does it. */
export const gatewayCommands = (gateway: { readonly journal: Journal }): CommandTable => ({
  "keys.rotate": {
    action: "keys.rotate",
    isDestructive: true,
    params: none,
    run: () => gateway.journal.rotateKeys(),
  },
});
