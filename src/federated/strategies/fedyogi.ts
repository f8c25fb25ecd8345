import { adaptive } from "./adaptive.ts";

/** v -= (1 - beta2) * change^2 * sign(v - change^2) */
export const fedyogi = adaptive((v, squared, { beta2 }) => v - (1 - beta2) * squared * Math.sign(v - squared));
