/** Compilation of PTX: once for each kind of GPU, since it takes a second or more and eight GPUs need the same code. */
import { type Calls, cText } from "./cuda-calls.ts";
import { CudaError } from "./driver.ts";

/** CU_JIT_INPUT_PTX. */
const PTX = 1;

/** Answers a function that loads a text into the current context, and answers the module. */
export function compiler(calls: Calls): (ptx: string, capability: number) => bigint {
  const compiled = new Map<string, bigint>();
  return (ptx, capability) => {
    const key = `${capability} ${ptx}`;
    const known = compiled.get(key) ?? compile(calls, ptx);
    if (known === null) return calls.word("cuModuleLoadData", cText(ptx));
    compiled.set(key, known);
    return calls.word("cuModuleLoadData", known);
  };
}

/** The address of machine code for the current context's GPU; null where only loading can compile. */
function compile(calls: Calls, ptx: string): bigint | null {
  try {
    const text = cText(ptx);
    const made = Buffer.alloc(8);
    calls.call("cuLinkCreate_v2", 0, null, null, made);
    const state = made.readBigUInt64LE();
    // biome-ignore format: state, what it is, text, its size, its name, no options
    calls.call("cuLinkAddData_v2", state, PTX, text, BigInt(text.length), cText("kernels"), 0, null, null);
    // The code belongs to the state, which is never destroyed: other contexts load it later.
    const code = Buffer.alloc(8);
    calls.call("cuLinkComplete", state, code, Buffer.alloc(8));
    return code.readBigUInt64LE();
  } catch (error) {
    // Loading says why if it is the text; a lost context must not look like that.
    if (error instanceof CudaError && !error.isFatal) return null;
    throw error;
  }
}
