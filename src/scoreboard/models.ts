/**
 * GPU models by one name, however drivers, clouds and data sheets spell them. Different memory sizes and
 * form factors stay different models: a PCIe card never rates against an SXM module. Pure.
 */

/** Says who makes it or what it is, never which one it is. */
const NOISE: ReadonlySet<string> = new Set([
  ...[
    "nvidia",
    "corporation",
    "corp",
    "inc",
    "ltd",
    "amd",
    "advanced",
    "micro",
    "devices",
    "intel",
  ],
  ...["tesla", "geforce", "instinct", "tensor", "core", "gpu", "gpus", "accelerator"],
  ...["graphics", "card", "generation", "series"],
]);
const FORM_FACTOR = /^(?:sxm[0-9]*|pcie[0-9]*|nvl[0-9]*|oam[0-9]*|mxm)$/;
const MEMORY_SIZE = /^[0-9]+gb$/;
const MEMORY_KIND = /^(?:hbm[0-9]*e?|gddr[0-9]+x?|lpddr[0-9]+x?)$/;

/**
 * Fuller spellings → the driver's name, where both mean one board and no other. What a driver leaves out
 * (the H200 has 141 GB, the H100 SXM5 80 GB of HBM3) others write.
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

/** Longer ones are no names. */
export const MAX_MODEL_LENGTH = 256;

/**
 * `NVIDIA A100-SXM4-80GB`, `Tesla A100 SXM4 80 GB` and `a100-sxm4-80gb` are all `a100-sxm4-80gb`: the
 * chip, then form factor, memory size and memory kind, whatever order they came in. Doing it twice changes
 * nothing. Null for what is no name.
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
  const telling = words.filter((word) => !NOISE.has(word));
  const kept = [...new Set(telling.length === 0 ? words : telling)];
  const parts = [
    ...kept.filter((word) => !isDetail(word)),
    ...kept.filter((word) => FORM_FACTOR.test(word)),
    ...kept.filter((word) => MEMORY_SIZE.test(word)),
    ...kept.filter((word) => MEMORY_KIND.test(word)),
  ];
  const model = parts.join("-");
  return model === "" || model.length > MAX_MODEL_LENGTH ? null : (ALIASES.get(model) ?? model);
}

function isDetail(word: string): boolean {
  return FORM_FACTOR.test(word) || MEMORY_SIZE.test(word) || MEMORY_KIND.test(word);
}
