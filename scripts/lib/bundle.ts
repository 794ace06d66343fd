import { join } from "node:path";
import { runWrangler } from "./project.ts";

/** The production bundle, as `wrangler deploy` would upload it. */
export interface Bundle {
  /** Folder of everything that was built. */
  folder: string;
  /** The Worker's one module, relative to `folder`. */
  main: string;
  /** esbuild's account of what went into it. */
  metafile: string;
}

/** Builds the Worker into `folder`, offline, the way a deployment does: minified, with its aliases. */
export async function buildBundle(folder: string): Promise<Bundle> {
  const metafile = join(folder, "meta.json");
  const args = ["deploy", "--dry-run", "--outdir", folder, "--metafile", metafile];
  await runWrangler(args, { offline: true });
  return { folder, main: "index.js", metafile };
}
