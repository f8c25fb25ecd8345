import { converse } from "../train/trainer-conversation.ts";
import { roundWork } from "./round-work.ts";

// The entry of a trainer process that makes the update of a round: one job, then it ends.

converse(roundWork);
