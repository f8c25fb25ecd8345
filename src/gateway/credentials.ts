import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";

/** What a link needs to prove who it is, read from where the configuration says. */
export type Credentials = {
  readonly username?: string;
  readonly password?: string;
  readonly tls?: {
    readonly ca?: Uint8Array;
    readonly cert?: Uint8Array;
    readonly key?: Uint8Array;
    readonly servername?: string;
    readonly insecureSkipVerify?: boolean;
  };
};

/** What a broker's section says of credentials. `LinkConfig` fits. */
export type CredentialSettings = {
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
        readonly servername?: string | undefined;
        readonly insecureSkipVerify?: boolean | undefined;
      }
    | undefined;
};

/**
 * Reads user, password and certificates of a broker.
 * @param credentialsDir  `$CREDENTIALS_DIRECTORY`: a file of the same name there comes first
 * @throws TidegateError SECRET_UNREADABLE (77)
 */
export function readCredentials(config: CredentialSettings, credentialsDir?: string): Credentials {
  const read = (file: string): Uint8Array => {
    for (const place of credentialsDir ? [join(credentialsDir, basename(file)), file] : [file]) {
      try {
        return readFileSync(place);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ENOENT" && place !== file) continue;
        throw new TidegateError("SECRET_UNREADABLE", { file: place, reason: reasonOf(cause) }, { cause });
      }
    }
    throw new TidegateError("SECRET_UNREADABLE", { file, reason: "it is not there" });
  };
  const { username, passwordFile, tls } = config;
  return {
    ...(username === undefined ? {} : { username }),
    // Editors end files with a newline; passwords do not have one.
    ...(passwordFile === undefined
      ? {}
      : {
          password: Buffer.from(read(passwordFile))
            .toString("utf8")
            .replace(/\r?\n$/, ""),
        }),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(tls.ca === undefined ? {} : { ca: read(tls.ca) }),
            ...(tls.cert === undefined ? {} : { cert: read(tls.cert) }),
            ...(tls.key === undefined ? {} : { key: read(tls.key) }),
            ...(tls.servername === undefined ? {} : { servername: tls.servername }),
            ...(tls.insecureSkipVerify === true ? { insecureSkipVerify: true } : {}),
          },
        }),
  };
}
