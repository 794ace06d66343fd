/** Sizes of paper. */
import type { PaperSize } from "../../lib/enums.ts";

/** Points. */
export interface Paper {
  width: number;
  height: number;
}

export const A4: Paper = { width: 595.28, height: 841.89 };
const LETTER: Paper = { width: 612, height: 792 };

export const PAPERS: Readonly<Record<PaperSize, Paper>> = { a4: A4, letter: LETTER };
