import type { PaperSize } from "../lib/enums.ts";

/** Languages of places that print on Letter. */
const LETTER = new Set(["en-us", "en-ca", "es-mx"]);

/** The paper of the language that a client prefers (RFC 9110 §12.5.4); the first one wins ties. */
export function preferredPaper(acceptLanguage: string | undefined): PaperSize {
  let best = { language: "", weight: 0 };
  for (const part of (acceptLanguage ?? "").split(",")) {
    const [language = "", ...parameters] = part.split(";").map((each) => each.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
    if (Number(weight) > best.weight) best = { language, weight: Number(weight) };
  }
  return LETTER.has(best.language) ? "letter" : "a4";
}
