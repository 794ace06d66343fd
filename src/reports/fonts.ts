/** The report's typefaces, from the Worker's own assets. */
import { unavailable } from "../http/errors.ts";
import type { FontFiles } from "./drawing/typeface.ts";

/** Any origin leads to the Worker's own assets. */
const FOLDER = "https://assets/fonts/";
const RETRY_SECONDS = 5;

/** Kept by the isolate. Requests do not wait for each other's reads, so only what has arrived is shared. */
let files: FontFiles | null = null;

export async function loadFonts(assets: Fetcher): Promise<FontFiles> {
  if (files !== null) return files;
  const [regular, bold] = await Promise.all([
    read(assets, "DejaVuSans.ttf"),
    read(assets, "DejaVuSans-Bold.ttf"),
  ]);
  files ??= { regular, bold };
  return files;
}

async function read(assets: Fetcher, name: string): Promise<Uint8Array> {
  const response = await assets.fetch(new URL(name, FOLDER));
  if (!response.ok) {
    await response.body?.cancel();
    throw unavailable(RETRY_SECONDS, new Error(`The asset ${name} answered ${response.status}`));
  }
  return response.bytes();
}
