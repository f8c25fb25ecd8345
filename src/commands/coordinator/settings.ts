import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseDocument } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { type FleetSettings, fleetSettingsSchema } from "../../coordinator/fleet-settings.ts";

const standardFile = "/etc/tidegate/coordinator.yaml";

/** The file that is meant: the one that is named, else `coordinator.yaml` here, else the one of the service. */
export const settingsFile = (named: string | undefined): string =>
  named ?? (existsSync("coordinator.yaml") ? "coordinator.yaml" : standardFile);

/**
 * A coordinator's settings; paths in the file count from it.
 * @throws TidegateError CONFIG_MISSING, CONFIG_INVALID with every fault, FILE_UNREADABLE
 */
export function readFleetSettings(named: string | undefined): FleetSettings {
  const file = settingsFile(named);
  if (!existsSync(file)) throw new TidegateError("CONFIG_MISSING", { file });
  const written = readYaml(file);
  const parsed = fleetSettingsSchema.safeParse(written);
  if (!parsed.success) {
    const faults = parsed.error.issues.flatMap((issue) => {
      const where = issue.path.join(".");
      if (issue.code !== "unrecognized_keys") return [{ path: where, message: issue.message }];
      return issue.keys.map((key) => {
        const nearest = nearestName(key, issue.path.length === 0 ? Object.keys(fleetSettingsSchema.shape) : []);
        const message = nearest ? `unknown key; did you mean ${nearest}?` : "unknown key";
        return { path: [...issue.path, key].join("."), message };
      });
    });
    throw new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults });
  }
  return resolved(parsed.data, dirname(resolve(file)));
}

function resolved(settings: FleetSettings, from: string): FleetSettings {
  const at = (path: string): string => resolve(from, path);
  const { passwordFile, tls } = settings;
  const files = Object.entries({ ca: tls?.ca, cert: tls?.cert, key: tls?.key });
  const tlsFiles = Object.fromEntries(files.flatMap(([name, path]) => (path === undefined ? [] : [[name, at(path)]])));
  const models = Object.entries(settings.models).map(([name, { validation, ...model }]) => [
    name,
    {
      ...model,
      bundle: at(model.bundle),
      ...(validation ? { validation: { ...validation, data: validation.data.map(at) } } : {}),
    },
  ]);
  return {
    ...settings,
    dataDir: at(settings.dataDir),
    ...(passwordFile === undefined ? {} : { passwordFile: at(passwordFile) }),
    ...(tls ? { tls: { ...tls, ...tlsFiles } } : {}),
    models: Object.fromEntries(models) as FleetSettings["models"],
  };
}

/** Where `tidegate fleet` finds the running coordinator. */
export const fleetSocket = ({ socket, dataDir }: FleetSettings): string => socket ?? join(dataDir, "control.sock");

function readYaml(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ message }) => ({ message }));
    throw new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults });
  }
  return document.toJS({ maxAliasCount: 10 }) ?? {};
}
