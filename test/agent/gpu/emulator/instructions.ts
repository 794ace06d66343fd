/** PTX statements as functions on a warp and the mask of its lanes that run. Unknown ones are errors. */
import { ALL, checkShared, LANES, type Warp } from "./machine.ts";
import { floatOf, fromBf16, fromF16, toBf16, toF16 } from "./numbers.ts";
import { type Entry, listOf, type Statement } from "./parse.ts";

export type Instruction = (warp: Warp, mask: number) => void;
type Read = (warp: Warp, lane: number) => number;
type Write = (warp: Warp, lane: number, value: number) => void;

/** @throws when a statement is not known, or names no register */
export function compile(entry: Entry): Instruction[] {
  return entry.statements.map((statement) => {
    const operands = operandsOf(entry);
    const run = (INSTRUCTIONS[statement.operation[0] ?? ""] ?? unknown)(statement, operands, entry);
    const { guard } = statement;
    if (guard === null) return run;
    const flag = operands.read(guard.register);
    return (warp, mask) => {
      let left = 0;
      for (let lane = 0; lane < LANES; lane++) {
        if ((mask >>> lane) & 1 && (flag(warp, lane) === 1) !== guard.negated) left |= 1 << lane;
      }
      if (left !== 0) run(warp, left);
    };
  });
}

interface Operands {
  read: (operand: string) => Read;
  write: (operand: string) => Write;
  /** The address of `[%r+offset]`. */
  address: (operand: string) => Read;
  /** Where a register's lanes lie in its array. */
  place: (register: string) => number;
}

function operandsOf({ registers }: Entry): Operands {
  const find = (name: string) => {
    const found = registers.get(name);
    if (found === undefined) throw new Error(`unknown register ${name}`);
    return { type: found.type, at: found.index * LANES };
  };
  const read = (operand: string): Read => {
    if (registers.has(operand)) {
      const { type, at } = find(operand);
      return (warp, lane) => warp[type][at + lane] ?? 0;
    }
    const special = SPECIAL[operand];
    if (special !== undefined) return special;
    const value = operand.startsWith("0f")
      ? floatOf(Number.parseInt(operand.slice(2), 16))
      : Number(operand);
    if (Number.isNaN(value)) throw new Error(`unknown operand ${operand}`);
    return () => value;
  };
  return {
    read,
    write(operand) {
      const { type, at } = find(operand);
      return (warp, lane, value) => {
        warp[type][at + lane] = value;
      };
    },
    address(operand) {
      const [, base = "", offset = "0"] = /^\[(\S+?)(?:\+(\d+))?\]$/.exec(operand) ?? [];
      const of = read(base);
      const add = Number(offset);
      return (warp, lane) => of(warp, lane) + add;
    },
    place: (register) => find(register).at,
  };
}

const SPECIAL: Readonly<Record<string, Read>> = {
  "%tid.x": (warp, lane) => warp.index * LANES + lane,
  "%ntid.x": (warp) => warp.block.threads,
  "%ctaid.x": (warp) => warp.block.index,
  "%nctaid.x": (warp) => warp.block.blocks,
  smem: () => 0,
};

function lanes(run: (warp: Warp, lane: number) => void): Instruction {
  return (warp, mask) => {
    for (let lane = 0; lane < LANES; lane++) if ((mask >>> lane) & 1) run(warp, lane);
  };
}

function whole(name: string, run: (warp: Warp) => void): Instruction {
  return (warp, mask) => {
    if (mask !== ALL) throw new Error(`${name} in a divergent warp`);
    run(warp);
  };
}

type Compiler = (statement: Statement, operands: Operands, entry: Entry) => Instruction;

const unknown: Compiler = ({ source }) => {
  throw new Error(`unknown instruction ${source}`);
};

const INTEGER: Readonly<Record<string, (x: number, y: number) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => Math.imul(x, y),
  min: (x, y) => Math.min(x >>> 0, y >>> 0),
  and: (x, y) => x & y,
  or: (x, y) => x | y,
  xor: (x, y) => x ^ y,
  shl: (x, y) => x << y,
  shr: (x, y) => x >>> y,
  div: (x, y) => Math.floor((x >>> 0) / (y >>> 0)),
  rem: (x, y) => (x >>> 0) % (y >>> 0),
};
const WIDE: typeof INTEGER = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  shl: (x, y) => x * 2 ** y,
};
const FLOAT: typeof INTEGER = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
};
const COMPARE: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  ge: (x, y) => x >= y,
  lt: (x, y) => x < y,
  ne: (x, y) => x !== y,
  eq: (x, y) => x === y,
};

const binary: Compiler = (statement, { read, write }) => {
  const [name = "", ...modifiers] = statement.operation;
  const type = modifiers.at(-1);
  const table = type === "f32" ? FLOAT : type === "u64" || type === "b64" ? WIDE : INTEGER;
  const compute =
    modifiers[0] === "wide" ? (x: number, y: number) => (x >>> 0) * (y >>> 0) : table[name];
  if (compute === undefined) return unknown(statement, { read, write } as Operands, {} as Entry); // `as`: it only throws
  const [to = "", left = "", right = ""] = statement.operands;
  const [set, x, y] = [write(to), read(left), read(right)];
  return lanes((warp, lane) => set(warp, lane, compute(x(warp, lane), y(warp, lane))));
};

const ternary =
  (compute: (x: number, y: number, z: number) => number): Compiler =>
  ({ operands: [to = "", a = "", b = "", c = ""] }, { read, write }) => {
    const [set, x, y, z] = [write(to), read(a), read(b), read(c)];
    return lanes((warp, lane) =>
      set(warp, lane, compute(x(warp, lane), y(warp, lane), z(warp, lane))),
    );
  };

const move: Compiler = ({ operands: [to = "", from = ""] }, { read, write }) => {
  const [set, get] = [write(to), read(from)];
  return lanes((warp, lane) => set(warp, lane, get(warp, lane)));
};

const convert: Compiler = (statement, operands, entry) => {
  const [, ...types] = statement.operation;
  const [to = "", first = "", second = ""] = statement.operands;
  const packed = types.includes("bf16x2") ? toBf16 : types.includes("f16x2") ? toF16 : null;
  const [set, high] = [operands.write(to), operands.read(first)];
  if (packed !== null) {
    const low = operands.read(second);
    return lanes((warp, lane) =>
      set(warp, lane, (packed(high(warp, lane)) << 16) | packed(low(warp, lane))),
    );
  }
  if (types.at(-1) !== "u32" && types.at(-1) !== "u64") return unknown(statement, operands, entry);
  // To 32 bits the typed array cuts by itself; from 32 bits the value is unsigned.
  const from = types.at(-1) === "u32" ? (x: number) => x >>> 0 : (x: number) => x;
  return lanes((warp, lane) => set(warp, lane, from(high(warp, lane))));
};

const compare: Compiler = (statement, operands, entry) => {
  const [, relation = "", type = ""] = statement.operation;
  const [to = "", left = "", right = ""] = statement.operands;
  const holds = COMPARE[relation];
  if (holds === undefined) return unknown(statement, operands, entry);
  const [set, x, y] = [operands.write(to), operands.read(left), operands.read(right)];
  const value = type === "u32" ? (v: number) => v >>> 0 : (v: number) => v;
  return lanes((warp, lane) =>
    set(warp, lane, holds(value(x(warp, lane)), value(y(warp, lane))) ? 1 : 0),
  );
};

const branch: Compiler = ({ operands: [label = ""] }, _, { labels }) => {
  const target = labels.get(label);
  if (target === undefined) throw new Error(`unknown label ${label}`);
  // The step after this one advances the lanes that ran.
  return lanes((warp, lane) => {
    warp.pc[lane] = target - 1;
  });
};

const leave: Compiler = () => (warp, mask) => {
  warp.done |= mask;
};

const load: Compiler = ({ operation, operands: [to = "", from = ""] }, operands, entry) => {
  if (operation[1] === "param") {
    const index = entry.parameters.indexOf(from.slice(1, -1));
    if (index < 0) throw new Error(`unknown parameter ${from}`);
    const set = operands.write(to);
    return lanes((warp, lane) => set(warp, lane, warp.block.args[index] ?? Number.NaN));
  }
  const into = listOf(to).map(operands.write);
  const at = operands.address(from);
  const bytes = 4 * into.length;
  return lanes((warp, lane) => {
    const { view, offset } = warp.block.memory.at(at(warp, lane), bytes, bytes);
    for (const [i, set] of into.entries()) set(warp, lane, view.getFloat32(offset + 4 * i, true));
    warp.block.statistics.read += bytes;
  });
};

const store: Compiler = ({ operation, operands: [to = "", from = ""] }, operands) => {
  const values = listOf(from).map(operands.read);
  const at = operands.address(to);
  const bytes = 4 * values.length;
  const isFloat = operation.at(-1) === "f32";
  return lanes((warp, lane) => {
    const { view, offset } = warp.block.memory.at(at(warp, lane), bytes, bytes);
    for (const [i, get] of values.entries()) {
      const value = get(warp, lane);
      if (isFloat) view.setFloat32(offset + 4 * i, value, true);
      else view.setInt32(offset + 4 * i, value, true);
    }
    warp.block.statistics.written += bytes;
  });
};

const copyAsync: Compiler = (statement, operands, entry) => {
  const [, , kind] = statement.operation;
  const [to = "", from = ""] = statement.operands;
  if (kind === "commit_group") {
    return lanes((warp, lane) => {
      warp.groups[lane]?.push(warp.open[lane]?.splice(0) ?? []);
    });
  }
  if (kind === "wait_group") {
    const kept = Number(to);
    return lanes((warp, lane) => {
      const groups = warp.groups[lane] ?? [];
      while (groups.length > kept) for (const landing of groups.shift() ?? []) landing();
    });
  }
  if (kind !== "cg") return unknown(statement, operands, entry);
  const [target, source] = [operands.address(to), operands.address(from)];
  return lanes((warp, lane) => {
    const { block } = warp;
    const at = target(warp, lane);
    checkShared(block, at);
    const bytes = block.memory.bytesAt(source(warp, lane), 16).slice();
    block.statistics.read += 16;
    // Until the copy has landed nobody may read there.
    block.valid.fill(0, at, at + 16);
    if (block.copiesLandEarly) block.shared.set(bytes, at);
    warp.open[lane]?.push(() => {
      block.shared.set(bytes, at);
      block.valid.fill(1, at, at + 16);
    });
  });
};

const barrier: Compiler = () =>
  whole("bar.sync", (warp) => {
    warp.atBarrier = true;
  });

/** Four 8×8 matrices: lane i names row i % 8 of matrix i / 8, and gets two elements of row i / 4 of each. */
const loadMatrix: Compiler = ({ operands: [to = "", from = ""] }, { address, write }) => {
  const into = listOf(to).map(write);
  const at = address(from);
  const rows = new Int32Array(8);
  return whole("ldmatrix", (warp) => {
    const { block } = warp;
    for (const [matrix, set] of into.entries()) {
      let banks = 0;
      for (let i = 0; i < 8; i++) {
        const row = at(warp, matrix * 8 + i);
        checkShared(block, row);
        for (let byte = row; byte < row + 16; byte++) {
          if (block.valid[byte] !== 1) {
            throw new Error(`shared byte ${byte} is read before its copy has landed`);
          }
        }
        const bank = 1 << ((row >> 4) & 7);
        if (banks & bank) block.statistics.bankConflicts += 1;
        banks |= bank;
        rows[i] = row;
      }
      for (let lane = 0; lane < LANES; lane++) {
        set(warp, lane, block.view.getInt32((rows[lane >> 2] ?? 0) + (lane & 3) * 4, true));
      }
    }
  });
};

/** m16n8k16. Lane 4g + t holds of A rows g and g + 8, of B column g, of C columns 2t and 2t + 1. */
const multiply: Compiler = (statement, operands, entry) => {
  const [d, a, b, c] = statement.operands.map((list) => listOf(list).map(operands.place));
  const decode = statement.operation.includes("bf16") ? fromBf16 : fromF16;
  if (statement.operation[3] !== "m16n8k16" || !d || !a || !b || !c) {
    return unknown(statement, operands, entry);
  }
  const left = new Float64Array(16 * 16);
  const right = new Float64Array(8 * 16);
  return whole("mma", (warp) => {
    const { b32, f32 } = warp;
    for (let lane = 0; lane < LANES; lane++) {
      const [g, t] = [lane >> 2, (lane & 3) * 2];
      for (const [i, place] of a.entries()) {
        const pair = b32[place + lane] ?? 0;
        const at = (g + (i & 1) * 8) * 16 + t + (i >> 1) * 8;
        left[at] = decode(pair & 0xffff);
        left[at + 1] = decode(pair >>> 16);
      }
      for (const [i, place] of b.entries()) {
        const pair = b32[place + lane] ?? 0;
        right[g * 16 + t + i * 8] = decode(pair & 0xffff);
        right[g * 16 + t + i * 8 + 1] = decode(pair >>> 16);
      }
    }
    for (let lane = 0; lane < LANES; lane++) {
      for (let e = 0; e < 4; e++) {
        const row = ((lane >> 2) + (e >> 1) * 8) * 16;
        const column = ((lane & 3) * 2 + (e & 1)) * 16;
        let sum = f32[(c[e] ?? 0) + lane] ?? 0;
        for (let k = 0; k < 16; k++) sum += (left[row + k] ?? 0) * (right[column + k] ?? 0);
        f32[(d[e] ?? 0) + lane] = sum;
      }
    }
    warp.block.statistics.flop += 2 * 16 * 8 * 16;
  });
};

const fusedMultiplyAdd: Compiler = (statement, operands, entry) => {
  const run = ternary((x, y, z) => x * y + z)(statement, operands, entry);
  return (warp, mask) => {
    run(warp, mask);
    for (let bits = mask; bits !== 0; bits &= bits - 1) warp.block.statistics.flop += 2;
  };
};

const INSTRUCTIONS: Readonly<Record<string, Compiler>> = {
  ...Object.fromEntries(Object.keys(INTEGER).map((name) => [name, binary])),
  mad: ternary((x, y, z) => Math.imul(x, y) + z),
  fma: fusedMultiplyAdd,
  mov: move,
  cvt: convert,
  setp: compare,
  bra: branch,
  ret: leave,
  ld: load,
  st: store,
  cp: copyAsync,
  bar: barrier,
  ldmatrix: loadMatrix,
  mma: multiply,
};
