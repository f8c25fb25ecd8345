import { fedavg } from "./fedavg.ts";
import type { Strategy } from "./strategy.ts";

/**
 * On the coordinator FedAvg; on the gateways g += mu * (w - base) holds unlike ones together.
 * @see Li et al. 2020, "Federated optimization in heterogeneous networks"
 */
export const fedprox: Strategy = { ...fedavg, needsMu: true };
