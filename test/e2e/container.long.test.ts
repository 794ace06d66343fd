/**
 * The image of `Dockerfile`, as far as a machine without Docker can show it: what is copied into it, what its entrypoint makes
 * of that, and a server in a container made by `unshare` (see `container-stand-in.ts`).
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, matchesGlob, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { createApiClient } from "../../scripts/lib/api.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { findFreePort } from "../../scripts/lib/server.ts";
import { hasContainers, startContainer } from "../agent/container-stand-in.ts";
import { patient } from "../patience.ts";

const ENTRYPOINT = "/app/docker/entrypoint.sh";
/** In the official image of Node, `node`. */
const USER = 1000;
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const has = (name: string) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;

let folder: string;
let image: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-image-"));
  image = join(folder, "app");
  const ignored = read(".dockerignore")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  cpSync(ROOT, image, {
    recursive: true,
    filter: (source) => !ignored.some((pattern) => matchesGlob(relative(ROOT, source), pattern)),
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A path on which `npm ci` takes the packages that are here. */
function pathOfBuild(): string {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  const npm = spawnSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).stdout.trim();
  const link = `exec ln -s "${join(ROOT, "node_modules")}" node_modules`;
  writeFileSync(join(bin, "npm"), `#!/bin/sh\n[ "$1" = ci ] && ${link}\nexec "${npm}" "$@"\n`);
  chmodSync(join(bin, "npm"), 0o755);
  mkdirSync(join(image, ".wrangler"), { recursive: true });
  // Fetched by npm, too, and the same everywhere.
  cpSync(join(ROOT, ".wrangler/tarballs"), join(image, ".wrangler/tarballs"), { recursive: true });
  return `${bin}:${PATH}`;
}

const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

describe("the image", () => {
  test("has neither secrets nor packages of this machine, and runs as nobody of importance", () => {
    const ignored = read(".dockerignore").split("\n");
    expect(ignored).toEqual(
      expect.arrayContaining([".git", ".dev.vars*", ".wrangler", "**/node_modules"]),
    );
    expect(() => statSync(join(image, ".git"))).toThrow();
    const file = read("Dockerfile");
    expect(file).toContain(`FROM node:${read(".nvmrc").trim()}-slim\n`);
    expect(file.indexOf("\nUSER node\n")).toBeGreaterThan(file.indexOf("entrypoint.sh build"));
    expect(file).toContain(`ENTRYPOINT ["${ENTRYPOINT}"]`);
    expect(file).toMatch(/^HEALTHCHECK .* CMD \["\/app\/docker\/entrypoint.sh", "health"\]$/m);
    expect(file).toContain("\nVOLUME /data\n");
  });

  test("compose gives it a root that is read-only, and the folders that it writes", () => {
    const { services } = parse(read("compose.yaml"), { strict: true, uniqueKeys: true });
    expect(services.assay).toMatchObject({
      read_only: true,
      tmpfs: ["/tmp"],
      volumes: ["assay:/data"],
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
      ports: ["127.0.0.1:8787:8787"],
    });
    expect(services.assay.privileged).toBeUndefined();
  });

  test.skipIf(!has("shellcheck"))("shellcheck finds nothing in its entrypoint", () => {
    const { stdout } = spawnSync("shellcheck", [join(ROOT, "docker/entrypoint.sh")], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
  });
});

describe.skipIf(!hasContainers)("a container", () => {
  beforeAll(() => {
    const built = spawnSync(join(image, "docker/entrypoint.sh"), ["build"], {
      env: { PATH: pathOfBuild(), HOME: folder },
      encoding: "utf8",
    });
    expect(built.status, built.stdout + built.stderr).toBe(0);
    // A place for the packages, which containers see wherever this checkout lies.
    rmSync(join(image, "node_modules"));
    mkdirSync(join(image, "node_modules"));
  });

  /** Runs the entrypoint on a volume. */
  function run(
    args: readonly string[],
    data: { folder: string; isWritable?: boolean },
    port = 8787,
  ) {
    const { isWritable = true } = data;
    const container = startContainer({
      command: [ENTRYPOINT, ...args],
      env: {
        PATH: `/app/node_modules/node/bin:${PATH}`,
        PORT: String(port),
        PUBLIC_ORIGIN: `http://127.0.0.1:${port}`,
      },
      volumes: {
        "/app": image,
        "/app/node_modules": join(ROOT, "node_modules"),
        ...(isWritable ? {} : { "/data": data.folder }),
      },
      writable: isWritable ? { "/data": data.folder } : {},
      user: USER,
      stdin: "",
    });
    onTestFinished(container.kill);
    return container;
  }

  const newVolume = () => ({ folder: mkdtempSync(join(folder, "volume-")) });

  /** Starts a server, and waits until it is healthy as Docker finds it. */
  async function serve(data: { folder: string }, port: number) {
    const server = run([], data, port);
    let ended: number | string | undefined;
    void server.exit.then((code) => {
      ended = code;
    });
    const deadline = Date.now() + patient(180_000);
    while ((await run(["health"], data, port).exit) !== 0) {
      const { stdout, stderr } = server.output;
      if (ended !== undefined || Date.now() > deadline) throw new Error(stdout + stderr);
      await sleep(500);
    }
    return server;
  }

  async function signedIn(data: { folder: string }, port: number) {
    const secrets = readFileSync(join(data.folder, "secrets.env"), "utf8");
    const secret = (name: string) => new RegExp(`^${name}="(.*)"$`, "m").exec(secrets)?.[1] ?? "";
    const api = createApiClient(`http://127.0.0.1:${port}`, new AbortController().signal);
    await api.signIn(secret("ADMIN_EMAIL"), secret("ADMIN_PASSWORD"));
    return api;
  }

  test("serves without rights on a root that is read-only, stops by SIGTERM, and keeps its data", {
    timeout: patient(600_000),
  }, async () => {
    const data = newVolume();
    const port = await findFreePort();
    expect(await run(["health"], data, port).exit, "before it serves").toBe(1);

    const first = await serve(data, port);
    expect(first.output.stdout).toContain(`http://127.0.0.1:${port}/docs`);
    const { id } = await (await signedIn(data, port)).createJob({ benchmarks: ["quick_mark"] });
    expect(statSync(join(data.folder, "secrets.env")).mode & 0o777).toBe(0o600);

    const other = run([], data, await findFreePort());
    expect(await other.exit, "a second server on one volume").toBe(75);
    expect(other.output.stderr).toContain("/data is in use by another server");

    first.signal("SIGTERM");
    expect(await first.exit, first.output.stderr).toBe(0);
    const second = await serve(data, port);
    expect((await (await signedIn(data, port)).job(id)).state).toBe("created");
    second.kill();
    await second.exit;

    const rotated = run(["run", "rotate-secret", "--", "--local"], data, port);
    expect(await rotated.exit, rotated.output.stderr).toBe(0);
    expect(rotated.output.stdout).toContain("Signs from now on: ");
    const third = await serve(data, port);
    expect((await (await signedIn(data, port)).job(id)).state, "after SIGKILL").toBe("created");
    third.signal("SIGTERM");
    expect(await third.exit).toBe(0);
  });

  test("says what is wrong with its volume and its command", async () => {
    const closed = run([], { ...newVolume(), isWritable: false });
    expect(await closed.exit).toBe(73);
    expect(closed.output.stderr).toContain(`/data cannot be written by user ${USER}`);
    const unknown = run(["sh"], newVolume());
    expect(await unknown.exit).toBe(64);
    expect(unknown.output.stderr).toContain("Unknown command: sh.");
  });
});
