import { ReplayFile } from "./replay-file.ts";
import { splitOf } from "./splits.ts";
import { converse } from "./trainer-conversation.ts";
import type { TrainingJob } from "./training-job.ts";
import { work } from "./training-work.ts";

// The entry of the trainer process: one job, then it ends.

converse(async (job: TrainingJob, data, { sealerOf, ...hooks }) => {
  const sealer = sealerOf(job.checkpoint?.key);
  const replay = job.replay && new ReplayFile(job.replay.file, sealerOf(job.replay.key));
  return work(job, data, splitOf(data, job.settings.seed, job.shares), { ...hooks, sealer, replay });
});
