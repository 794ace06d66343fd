/**
 * One name for each GPU model, for all spellings of drivers, clouds and data sheets. Different memory sizes and
 * form factors are different models: a PCIe card is never rated against an SXM module. Pure.
 */

/** Words for the vendor or the kind of device, which do not distinguish models. */
const NOISE: ReadonlySet<string> = new Set(
  (
    "nvidia corporation corp inc ltd amd advanced micro devices intel tesla geforce instinct " +
    "tensor core gpu gpus accelerator graphics card generation series"
  ).split(" "),
);
const FORM_FACTOR = /^(?:sxm[0-9]*|pcie[0-9]*|nvl[0-9]*|oam[0-9]*|mxm)$/;
const MEMORY_SIZE = /^[0-9]+gb$/;
const MEMORY_KIND = /^(?:hbm[0-9]*e?|gddr[0-9]+x?|lpddr[0-9]+x?)$/;

/**
 * The driver's name of a board, by its other spellings. Drivers leave out details that others write: the H200 has
 * 141 GB, the H100 SXM5 80 GB of HBM3.
 */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["a100-sxm-40gb", "a100-sxm4-40gb"],
  ["a100-sxm-80gb", "a100-sxm4-80gb"],
  ["a100-sxm4-40gb-hbm2", "a100-sxm4-40gb"],
  ["a100-sxm4-80gb-hbm2e", "a100-sxm4-80gb"],
  ["a100-pcie-80gb-hbm2e", "a100-pcie-80gb"],
  ["a100-pcie-40gb-hbm2", "a100-pcie-40gb"],
  ["h100-sxm-80gb", "h100-80gb-hbm3"],
  ["h100-sxm5-80gb", "h100-80gb-hbm3"],
  ["h100-sxm-80gb-hbm3", "h100-80gb-hbm3"],
  ["h100-sxm5-80gb-hbm3", "h100-80gb-hbm3"],
  ["h100-pcie-80gb", "h100-pcie"],
  ["h100-nvl-94gb", "h100-nvl"],
  ["h200-sxm", "h200"],
  ["h200-sxm5", "h200"],
  ["h200-sxm-141gb", "h200"],
  ["h200-sxm5-141gb", "h200"],
  ["h200-sxm5-141gb-hbm3e", "h200"],
  ["l40s-48gb", "l40s"],
  ["l4-24gb", "l4"],
  ["a10-24gb", "a10"],
]);

/** Bound of a model's name. */
export const MAX_MODEL_LENGTH = 256;

/**
 * `NVIDIA A100-SXM4-80GB`, `Tesla A100 SXM4 80 GB` and `a100-sxm4-80gb` are all `a100-sxm4-80gb`: the
 * chip, then form factor, memory size and memory kind, in whatever order they came. Idempotent. Null for a text
 * that names no model.
 */
export function normalizeModel(name: string | null): string | null {
  if (name === null) return null;
  const words = name
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/\((?:r|tm|c)\)|[®™©]/g, " ")
    .replaceAll(/([0-9]+)[\s_-]*gi?b\b/g, " $1gb ")
    .split(/[^\p{L}\p{M}\p{N}.+]+/u)
    .map((word) => word.replaceAll(/^\.+|\.+$/g, ""))
    .filter((word) => word !== "");
  const significant = words.filter((word) => !NOISE.has(word));
  const distinct = [...new Set(significant.length === 0 ? words : significant)];
  const parts = [
    ...distinct.filter((word) => !isDetail(word)),
    ...distinct.filter((word) => FORM_FACTOR.test(word)),
    ...distinct.filter((word) => MEMORY_SIZE.test(word)),
    ...distinct.filter((word) => MEMORY_KIND.test(word)),
  ];
  const model = parts.join("-");
  return model === "" || model.length > MAX_MODEL_LENGTH ? null : (ALIASES.get(model) ?? model);
}

function isDetail(word: string): boolean {
  return FORM_FACTOR.test(word) || MEMORY_SIZE.test(word) || MEMORY_KIND.test(word);
}
