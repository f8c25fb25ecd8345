import { adaptive } from "./adaptive.ts";

/** v += change^2 */
export const fedadagrad = adaptive((v, squared) => v + squared);
