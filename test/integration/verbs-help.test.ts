import { describe, expect, it } from "vitest";
import { jsonOf, shell, tidegate } from "./verbs-fixture.ts";

const verbs = [
  ...["config get", "config set", "config unset", "config validate", "config diff", "config schema"],
  ...["keys new", "keys show", "keys rotate", "keys retire", "keys backup", "keys restore"],
  ...["model ls", "model show", "model verify", "model train", "model eval"],
  ...["buffer stats", "buffer export", "dead ls", "dead show", "dead replay", "dead purge", "data open"],
];

describe("help", () => {
  it.each(verbs)("tidegate %s --help has an example that begins with the verb, --config and --json", async (verb) => {
    const { code, out } = await tidegate(...verb.split(" "), "--help");
    expect(code).toBe(0);
    expect(out).toContain(`\nExample: tidegate ${verb}`);
    expect(out).toContain("--config <file>");
    expect(out).toContain("--json");
  });

  it("no verb at all lists the verbs", async () => {
    const { code, err } = await tidegate();
    expect(code).toBe(0);
    expect(err).toContain("discover");
  });

  it("a verb without its part is a fault of usage (64) and lists the parts", async () => {
    for (const verb of ["keys", "buffer"]) {
      const { code, err } = await tidegate(verb);
      expect(code).toBe(64);
      expect(err).toContain(`Usage: tidegate ${verb}`);
    }
    const ran = await tidegate("buffer", "exprt", "--json");
    expect(ran.code).toBe(64);
    expect(jsonOf<{ error: { message: string } }>(ran).error.message).toContain("Did you mean export?");
  });

  it("ends quietly when its reader has gone before it could print", async () => {
    const { err } = await shell('{ sh "$0" config schema; echo "code $?" >&2; } | true');
    expect(err).toBe("code 0\n");
  });
});
