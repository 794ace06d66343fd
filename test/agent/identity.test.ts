import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isContainer, readIdentity } from "../../agent/src/identity.ts";
import { readSystem } from "../../agent/src/system.ts";

/** Machines as trees of files, below a root of their own. */

const ID = "0123456789abcdef0123456789abcdef";
const V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "assay-machine-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** A network card at a place on the bus; none for a virtual interface. */
function card(
  name: string,
  address: string,
  place: string | null,
  more: Record<string, string> = {},
): void {
  const files = { type: "1", addr_assign_type: "0", address, ...more };
  for (const [file, text] of Object.entries(files))
    put(`sys/class/net/${name}/${file}`, `${text}\n`);
  if (place === null) return;
  mkdirSync(join(root, "sys/devices", place), { recursive: true });
  symlinkSync(join(root, "sys/devices", place), join(root, "sys/class/net", name, "device"));
}

const read = (env: Record<string, string> = {}) =>
  readIdentity({ XDG_STATE_HOME: join(root, "state"), ...env }, root);

describe("a machine", () => {
  beforeEach(() => {
    put("etc/machine-id", `${ID}\n`);
    card("eno1", "b8:ce:f6:00:00:01", "pci0000:00/0000:00:1c.0");
  });

  test("is known by its id and its first card, whoever starts the agent", () => {
    const first = read();
    expect(first).toEqual({ uuid: expect.stringMatching(V5), source: "hardware" });
    expect(read({ HOME: "/nonexistent", XDG_STATE_HOME: "/proc/none" })).toEqual(first);
  });

  test("a clone of its disk in other hardware is another machine", () => {
    const { uuid } = read();
    rmSync(join(root, "sys"), { recursive: true });
    card("eno1", "b8:ce:f6:00:00:02", "pci0000:00/0000:00:1c.0");
    expect(read().uuid).not.toBe(uuid);
  });

  test("names of interfaces, virtual ones, bonds, USB and virtual functions change nothing", () => {
    const { uuid } = read();
    rmSync(join(root, "sys"), { recursive: true });
    card("lo", "00:00:00:00:00:00", null, { type: "772" });
    card("docker0", "02:42:ac:11:00:01", null);
    card("ib0", "00:00:10:29", "pci0000:00/0000:00:01.0", { type: "32" });
    card("eth0v0", "b8:ce:f6:00:00:77", "pci0000:00/0000:00:02.0");
    put("sys/devices/pci0000:00/0000:00:02.0/physfn/vendor", "");
    card("usb0", "b8:ce:f6:00:00:66", "pci0000:00/0000:00:14.0/usb1/1-1");
    card("wlan0", "12:34:56:78:9a:bc", "pci0000:00/0000:00:03.0", { addr_assign_type: "1" });
    card("zeros", "00:00:00:00:00:00", "pci0000:00/0000:00:04.0");
    card("eth7", "aa:aa:aa:aa:aa:01", "pci0000:00/0000:00:1c.0", {
      addr_assign_type: "3",
      "bonding_slave/perm_hwaddr": "B8:CE:F6:00:00:01",
    });
    expect(read().uuid).toBe(uuid);
  });

  test.each([
    ["without an id", ""],
    ["with the id of all images", "ffffffffffffffffffffffffffffffff"],
    ["with firmware's id", "03000200040005000006000700080009"],
  ])("%s it is known by its card", (_name, id) => {
    put("etc/machine-id", id);
    const first = read();
    expect(first.source).toBe("hardware");
    rmSync(join(root, "etc/machine-id"));
    expect(read()).toEqual(first);
  });

  test("without a card it is known by its id", () => {
    rmSync(join(root, "sys"), { recursive: true });
    expect(read()).toMatchObject({ source: "hardware" });
  });
});

describe("without id and card", () => {
  test("a random UUID is kept", () => {
    const first = read();
    expect(first).toEqual({ uuid: expect.stringMatching(V4), source: "kept" });
    expect(read()).toEqual(first);
    expect(read({ XDG_STATE_HOME: join(root, "other") }).uuid).not.toBe(first.uuid);
  });

  test("a kept one is read where nothing can be written", () => {
    const first = read();
    chmodSync(join(root, "state/assay"), 0o500);
    expect(read()).toEqual(first);
  });

  test("nothing can be kept: a random one each time", () => {
    const [first, second] = [
      read({ XDG_STATE_HOME: "/proc/none" }),
      read({ XDG_STATE_HOME: "/proc/none" }),
    ];
    expect(first).toEqual({ uuid: expect.stringMatching(V4), source: "random" });
    expect(second.uuid).not.toBe(first.uuid);
  });

  test("a damaged one is not replaced", () => {
    put("state/assay/machine-uuid", "not a uuid");
    expect(() => read()).toThrow(/--machine-uuid/);
  });
});

describe("a container", () => {
  beforeEach(() => {
    put("etc/machine-id", ID);
    card("eth0", "02:42:ac:11:00:02", "pci0000:00/0000:00:1c.0");
  });

  test.each([
    ["Docker", () => put(".dockerenv", ""), {}],
    ["Podman", () => put("run/.containerenv", ""), {}],
    ["Kubernetes", () => {}, { KUBERNETES_SERVICE_HOST: "10.0.0.1" }],
    ["Apptainer", () => {}, { APPTAINER_NAME: "image.sif" }],
    ["systemd-nspawn, LXC", () => {}, { container: "lxc" }],
    [
      "cgroups of version 1",
      () => put("proc/1/cgroup", "5:devices:/kubepods/burstable/pod1\n"),
      {},
    ],
  ] as const)("%s: not by the image's id", (_name, make, env) => {
    make();
    expect(isContainer(env, root)).toBe(true);
    expect(read(env).source).toBe("kept");
  });

  test("a plain machine is none", () => {
    put("proc/1/cgroup", "1:name=systemd:/init.scope\n0::/init.scope\n");
    expect(isContainer({}, root)).toBe(false);
  });

  test("ASSAY_MACHINE_KEY counts first: the same for the same key, also started elsewhere", () => {
    const env = { KUBERNETES_SERVICE_HOST: "10.0.0.1", ASSAY_MACHINE_KEY: "6f1c…/3" };
    const first = read(env);
    expect(first).toEqual({ uuid: expect.stringMatching(V5), source: "key" });
    expect(read({ ...env, XDG_STATE_HOME: "/proc/none" })).toEqual(first);
    expect(read({ ...env, ASSAY_MACHINE_KEY: "6f1c…/4" }).uuid).not.toBe(first.uuid);
    expect(read({ ...env, ASSAY_MACHINE_KEY: " " }).source).toBe("kept");
  });

  test.each(["$(JOB_UID)/$(INDEX)", "$".concat("{SLURM_JOB_ID}/3")])(
    "the key %s is refused: nobody has filled it in",
    (key) => {
      expect(() => read({ ASSAY_MACHINE_KEY: key })).toThrow(/was not expanded/);
    },
  );
});

describe("board and instance", () => {
  test("are in the inventory, and no identity", () => {
    put("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
    put("sys/class/dmi/id/product_name", "p5.48xlarge\n");
    put("sys/class/dmi/id/board_name", "To be filled by O.E.M.\n");
    put("sys/class/dmi/id/board_asset_tag", "i-0f00ba4\n");
    put(
      "run/cloud-init/instance-data.json",
      JSON.stringify({ v1: { cloud_name: "aws", region: "us-east-1", availability_zone: null } }),
    );
    expect(readSystem(root)).toEqual({
      vendor: "Amazon EC2",
      product: "p5.48xlarge",
      cloud: "aws",
      instance_id: "i-0f00ba4",
      region: "us-east-1",
    });
    const before = read().uuid;
    put("sys/class/dmi/id/board_asset_tag", "i-0f00ba5\n");
    expect(read().uuid).toBe(before);
  });

  test("are left out where the machine does not tell, or tells nonsense", () => {
    expect(readSystem(root)).toEqual({});
    put("run/cloud-init/instance-data.json", "[");
    put("sys/class/dmi/id/board_asset_tag", "Not Specified");
    expect(readSystem(root)).toEqual({});
  });
});
