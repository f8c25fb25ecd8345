import { describe, expect, it } from "vitest";
import { detectProfile, profileNames, readProfile, requireSupportedSystem } from "../../../src/config/profile.ts";
import { base, load } from "./written.ts";

const gib = 2 ** 30;

describe("device profiles", () => {
  it("are those that are promised, and each loads", () => {
    expect(profileNames()).toEqual([
      "generic-arm64",
      "generic-x64",
      "jetson-orin-nano",
      "raspberry-pi-3b",
      "raspberry-pi-4",
      "raspberry-pi-5",
      "raspberry-pi-zero-2w",
    ]);
    for (const name of profileNames()) {
      const { config, profile } = load(base.replace("generic-x64", name));
      expect(config.gateway.profile).toBe(name);
      expect(config.buffer.commitMaxDelay).toBe(profile.commitMaxDelay);
      expect(config.models).toMatchObject({ threads: profile.threads, maxBatch: profile.maxBatch });
      expect(profile.providers.at(-1)).toBe("cpu");
    }
  });

  it.each([
    ["Raspberry Pi Zero 2 W Rev 1.0", gib / 2, "raspberry-pi-zero-2w"],
    ["Raspberry Pi 3 Model B Plus Rev 1.3", gib, "raspberry-pi-3b"],
    ["Raspberry Pi 4 Model B Rev 1.4", 4 * gib, "raspberry-pi-4"],
    ["Raspberry Pi Compute Module 4 Rev 1.1", 2 * gib, "raspberry-pi-4"],
    ["Raspberry Pi 5 Model B Rev 1.0", 8 * gib, "raspberry-pi-5"],
    ["NVIDIA Jetson Orin Nano Developer Kit", 8 * gib, "jetson-orin-nano"],
    ["Some other board", gib, "generic-arm64"],
    ["", gib, "generic-arm64"],
  ])("fit %s", (model, memory, name) => {
    expect(detectProfile(model, "arm64", memory)).toBe(name);
  });

  it("fit any x86 machine, whatever it is called", () => {
    expect(detectProfile("Raspberry Pi 4 Desktop", "x64", gib)).toBe("generic-x64");
  });

  it("write SD cards seldom and SSDs at once", () => {
    expect(readProfile("raspberry-pi-4").commitMaxDelay).toBe(5000);
    expect(readProfile("generic-x64").commitMaxDelay).toBe(200);
  });

  it.each(["arm", "ia32", "riscv64"])("refuse %s with one sentence", (architecture) => {
    expect(() => requireSupportedSystem(architecture)).toThrow(
      `64-bit system is needed (x86-64 or arm64); this one is ${architecture}`,
    );
    expect(() => detectProfile("Raspberry Pi 2", architecture)).toThrow(/64-bit/);
  });
});
