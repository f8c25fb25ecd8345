/**
 * Kinds of signed documents. Retained ones come again with every connection: the version that is here, word for word,
 * is no fault then. Of the others each version comes once.
 */
export const documentKinds = {
  "twin-desired": { isRetained: true, maxBytes: 256 * 1024 },
  command: { isRetained: false, maxBytes: 64 * 1024 },
  round: { isRetained: true, maxBytes: 256 * 1024 },
  manifest: { isRetained: true, maxBytes: 256 * 1024 },
  "data-keys": { isRetained: true, maxBytes: 64 * 1024 },
  "erase-receipt": { isRetained: true, maxBytes: 64 * 1024 },
  policy: { isRetained: true, maxBytes: 512 * 1024 },
} as const satisfies Record<string, { isRetained: boolean; maxBytes: number }>;

export type DocumentKind = keyof typeof documentKinds;
