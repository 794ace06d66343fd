/** PTX text as the emulator reads it: entries with parameters, registers, labels and statements. */

export type RegisterType = "pred" | "b32" | "b64" | "f32";

export interface Statement {
  source: string;
  /** The predicate's register, and whether it must be false. */
  guard: { register: string; negated: boolean } | null;
  /** Such as `["add", "u32"]`. */
  operation: string[];
  operands: string[];
}

export interface Entry {
  name: string;
  parameters: string[];
  registers: ReadonlyMap<string, { type: RegisterType; index: number }>;
  counts: Readonly<Record<RegisterType, number>>;
  labels: ReadonlyMap<string, number>;
  statements: Statement[];
}

const TYPES: readonly string[] = ["pred", "b32", "b64", "f32"];

/** @throws when the text is not ASCII, or holds something that the emulator does not know */
export function parsePtx(text: string): Map<string, Entry> {
  if (/[^\n\x20-\x7e]/.test(text)) throw new Error("PTX text must be ASCII");
  const entries = new Map<string, Entry>();
  for (const [, name = "", parameters = "", body = ""] of text.matchAll(
    /\.visible \.entry (\w+)\(([^)]*)\)[^{]*\{\n([\s\S]*?)\n\}/g,
  )) {
    entries.set(name, parseEntry(name, parameters, body));
  }
  return entries;
}

function parseEntry(name: string, parameters: string, body: string): Entry {
  const registers = new Map<string, { type: RegisterType; index: number }>();
  const counts: Record<RegisterType, number> = { pred: 0, b32: 0, b64: 0, f32: 0 };
  const labels = new Map<string, number>();
  const statements: Statement[] = [];
  for (const piece of body.split(";")) {
    let source = piece.trim().replace(/\s+/g, " ");
    for (let label = /^(\w+): ?/.exec(source); label !== null; label = /^(\w+): ?/.exec(source)) {
      labels.set(label[1] ?? "", statements.length);
      source = source.slice(label[0].length);
    }
    if (source === "") continue;
    const declared = /^\.reg \.(\w+) (.*)$/.exec(source);
    if (declared === null) {
      statements.push(parseStatement(source));
      continue;
    }
    const type = registerType(declared[1] ?? "");
    for (const item of (declared[2] ?? "").split(",").flatMap(expand)) {
      if (registers.has(item)) throw new Error(`register ${item} is declared twice`);
      registers.set(item, { type, index: counts[type] });
      counts[type] += 1;
    }
  }
  return {
    name,
    parameters: [...parameters.matchAll(/\.param \.u\d+ (\w+)/g)].map(([, one = ""]) => one),
    registers,
    counts,
    labels,
    statements,
  };
}

function registerType(text: string): RegisterType {
  if (!TYPES.includes(text)) throw new Error(`register type ${text}`);
  return text as RegisterType; // `as`: TYPES lists all of them
}

/** `%a<3>` stands for `%a0`, `%a1` and `%a2`. */
function expand(item: string): string[] {
  const [, stem = "", count = ""] = /^\s*(%\w+)<(\d+)>\s*$/.exec(item) ?? [];
  if (stem === "") return [item.trim()];
  return Array.from({ length: Number(count) }, (_, i) => `${stem}${i}`);
}

function parseStatement(source: string): Statement {
  const guard = /^@(!?)(%\w+) /.exec(source);
  const rest = guard === null ? source : source.slice(guard[0].length);
  const space = rest.indexOf(" ");
  const operation = (space < 0 ? rest : rest.slice(0, space)).split(".");
  return {
    source,
    guard: guard === null ? null : { register: guard[2] ?? "", negated: guard[1] === "!" },
    operation,
    operands: space < 0 ? [] : splitOperands(rest.slice(space + 1)),
  };
}

/** Commas within braces separate the registers of one operand. */
function splitOperands(text: string): string[] {
  return [...text.matchAll(/\{[^}]*\}|\[[^\]]*\]|[^,\s]+/g)].map(([operand]) => operand);
}

/** The registers of `{%a, %b}`, or the one register. */
export function listOf(operand: string): string[] {
  return operand.replace(/[{}\s]/g, "").split(",");
}
