import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Certificates = {
  readonly dir: string;
  readonly ca: Buffer;
  /** A client's certificate, signed by the same authority. */
  readonly cert: Buffer;
  readonly key: Buffer;
};

/** Whether this machine can make certificates. */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Makes an authority and certificates for a server called `localhost` and a client called `gateway`, in a new folder. */
export function makeCertificates(): Certificates {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-tls-"));
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "ignore" });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...ec, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem");
  writeFileSync(join(dir, "names"), "subjectAltName=DNS:localhost\n");
  for (const name of ["localhost", "gateway"]) {
    openssl("req", ...ec.slice(0, 5), "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
    const extensions = name === "localhost" ? ["-extfile", "names"] : [];
    const signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", ...extensions];
    openssl("x509", "-req", "-in", `${name}.csr`, ...signing, "-out", `${name}.pem`);
  }
  const read = (name: string) => readFileSync(join(dir, name));
  return { dir, ca: read("ca.pem"), cert: read("gateway.pem"), key: read("gateway.key") };
}
