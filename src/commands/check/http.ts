import type { Config } from "../../config/config.ts";
import { isLoopback, parseListen } from "../../ops/http-access.ts";
import { type Finding, ok, warn } from "./finding.ts";

/** Who can reach the HTTP server. */
export function checkHttp({ dashboard }: Pick<Config, "dashboard">): Finding {
  const name = "http";
  if (!dashboard.enabled) return ok(name, "not served");
  const host = parseListen(dashboard.listen)?.host ?? "";
  if (host === "localhost" || isLoopback(host)) return ok(name, `${dashboard.listen}: this machine alone`);
  return warn(
    name,
    `${dashboard.listen}: other machines reach it with the token, which goes there unencrypted`,
    "Set dashboard.listen to 127.0.0.1:8420 and come by SSH or a proxy with TLS, unless the network is yours alone.",
  );
}
