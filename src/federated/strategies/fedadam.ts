import { adaptive } from "./adaptive.ts";

/** v = beta2 * v + (1 - beta2) * change^2 */
export const fedadam = adaptive((v, squared, { beta2 }) => beta2 * v + (1 - beta2) * squared);
