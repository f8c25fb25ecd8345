import * as z from "zod";
import type { ErasureRequest } from "../../base/erasure-request.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Twin } from "../../control/twin.ts";
import { type ExportQuery, exportReadings } from "../../gateway/buffer-export.ts";
import { erasureSchema } from "../../gateway/erasures.ts";
import { toldErasure } from "../../gateway/told-erasure.ts";
import type { TrainingRequest } from "../../gateway/trainings.ts";
import type { Gateway } from "../../gateway.ts";
import type { ControlHandler } from "../../ops/control-server.ts";

/** What verbs may ask the running daemon, by method. */
export function controlHandlers(daemon: {
  gateway(): Gateway;
  reload(): Promise<unknown>;
  readonly twin: Twin;
}): Record<string, ControlHandler> {
  const journal = () => daemon.gateway().journal;
  return {
    status: async () => daemon.gateway().status(),
    reload: async () => daemon.reload(),
    "twin.show": async () => ({ ...daemon.twin.report, overlay: daemon.twin.overlay }),
    "twin.reset": async () => daemon.twin.reset("at the site"),
    "models.list": async () => daemon.gateway().status().models,
    "buffer.stats": async () => journal().stats(),
    "buffer.export": async (params, { emit, signal }) => {
      const query = parseQuery(params);
      // A disk that takes nothing is no reason not to rescue what is on it.
      await daemon
        .gateway()
        .trust.audit.append({
          ...{ what: "export", outcome: "accepted", name: "buffer.export", by: ["site"] },
          resource: { stream: query.stream },
        })
        .catch(() => {});
      // What waits for its commit belongs to what the user sees as received.
      await daemon.gateway().flush();
      const from = {
        read: journal().read.bind(journal()),
        sourcesOf: async (stream: string) => (await journal().stateOf(stream)).sources,
      };
      for await (const lines of exportReadings(query, from)) {
        if (signal.aborted) return;
        for (const line of lines) await emit(line);
      }
    },
    "buffer.erase": async (params) => {
      const request = parse("buffer.erase", erasureSchema, params) as ErasureRequest;
      // What waits for its commit was received before: it goes, too.
      const gateway = daemon.gateway();
      await gateway.flush();
      const signed = await gateway.erasures.erase(request);
      const { erased: detail, version } = signed.receipt;
      const entry = { what: "erase", outcome: "done", name: "buffer.erase", by: ["site"] } as const;
      await gateway.trust.audit.append({ ...entry, detail: { ...detail, receipt: version } });
      return signed;
    },
    "audit.anchor": async () => daemon.gateway().trust.anchorAnew(),
    "keys.rotate": async () => {
      const rotated = await journal().rotateKeys();
      const entry = { what: "site", outcome: "done", name: "keys.rotate", by: ["site"] } as const;
      await daemon.gateway().trust.audit.append({ ...entry, detail: rotated });
      return rotated;
    },
    "buffer.erasures": async ({ limit }) => (await journal().erasures(Number(limit ?? 20))).map(toldErasure),
    "training.train": async (params, { emit, signal }) =>
      daemon.gateway().trainings.train({
        ...parseRequest(params),
        signal,
        onEvent: (event) => void emit(event).catch(() => {}),
      }),
    "marks.add": async (params) => daemon.gateway().trainings.marks.add(parse("marks.add", markSchema, params)),
    "marks.list": async (params) => daemon.gateway().trainings.marks.list(parse("marks.list", markQuerySchema, params)),
    "marks.remove": async (params) =>
      daemon.gateway().trainings.marks.remove(parse("marks.remove", markQuerySchema, params)),
    "audit.list": async ({ limit, before }) =>
      (await journal().auditRead(Number(limit ?? 50), before as number | undefined)).map(({ body, ...row }) => ({
        ...row,
        body: Buffer.from(body).toString("utf8"),
      })),
    "audit.verify": async () => journal().auditVerify(),
    "dead.list": async ({ limit, before }) =>
      (await journal().dead(Number(limit ?? 50), before as number | undefined)).map(asText),
    "dead.remove": async ({ ids }) => journal().removeDead(ids as number[] | "all"),
  };
}

const markQuerySchema = z.object({
  stream: z.string().optional(),
  source: z.string().optional(),
  from: z.number().optional(),
  to: z.number().optional(),
});
const markSchema = markQuerySchema.required().extend({ label: z.string().min(1).max(64) });

function parse<T>(method: string, schema: z.ZodType<T>, params: Record<string, unknown>): T {
  const { success, data, error } = schema.safeParse(params);
  if (!success) throw new TidegateError("USAGE", { detail: `${method}: ${z.prettifyError(error)}` });
  return data;
}

const querySchema = z.object({
  stream: z.string(),
  source: z.string().optional(),
  from: z.number().optional(),
  to: z.number().optional(),
});

function parseQuery(params: Record<string, unknown>): ExportQuery {
  const { success, data, error } = querySchema.safeParse(params);
  if (!success) throw new TidegateError("USAGE", { detail: `buffer.export: ${z.prettifyError(error)}` });
  const { stream, source, from, to } = data;
  return {
    stream,
    ...(source === undefined ? {} : { source }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}

const requestSchema = z.object({
  model: z.string(),
  stream: z.string().optional(),
  settings: z.record(z.string(), z.unknown()).optional(),
  resume: z.enum(["auto", "require", "fresh"]).optional(),
});

function parseRequest(params: Record<string, unknown>): TrainingRequest {
  const { success, data, error } = requestSchema.safeParse(params);
  if (!success) throw new TidegateError("USAGE", { detail: `training.train: ${z.prettifyError(error)}` });
  const { model, stream, settings, resume } = data;
  return {
    model,
    isForced: true,
    ...(stream === undefined ? {} : { stream }),
    ...(settings ? { settings } : {}),
    ...(resume ? { resume } : {}),
  };
}

const asText = <T extends { payload: Uint8Array }>(letter: T) => ({
  ...letter,
  payload: Buffer.from(letter.payload).toString("base64"),
});
