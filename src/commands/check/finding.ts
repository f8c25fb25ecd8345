import { TidegateError } from "../../base/errors.ts";

/** One line of `tidegate check`. */
export type Finding = {
  readonly name: string;
  readonly level: "ok" | "warn" | "fail";
  readonly detail: string;
  /** What to do about it; "" when there is nothing to do. */
  readonly remedy: string;
};

export const ok = (name: string, detail: string, remedy = ""): Finding => ({ name, level: "ok", detail, remedy });

export const warn = (name: string, detail: string, remedy: string): Finding => ({
  name,
  level: "warn",
  detail,
  remedy,
});

/** What was thrown as a finding that fails; a fault that nobody foresaw goes on its way. */
export function fail(name: string, thrown: unknown): Finding {
  if (!(thrown instanceof TidegateError)) throw thrown;
  return { name, level: "fail", detail: thrown.message, remedy: thrown.help };
}
