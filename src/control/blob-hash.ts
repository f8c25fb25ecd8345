import { hash } from "node:crypto";

/** SHA-256 of a blob, hex. */
export const blobHash = (bytes: Uint8Array): string => hash("sha256", bytes, "hex");
