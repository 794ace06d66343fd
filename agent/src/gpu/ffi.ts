/**
 * Calls of C functions, as much of it as the drivers need, over koffi. This file is all that knows koffi: `node:ffi` can
 * take its place once it is stable.
 */

/** An argument of type `ptr` is a buffer, an address or null; a result of type `ptr` or `u64` is a bigint. */
export type CType = "i32" | "u32" | "u64" | "ptr";
export type CValue = number | bigint | Uint8Array | null;
/** First the type of the result, then those of the arguments. */
export type Signature = readonly [CType, ...CType[]];
export type CFunction = (...args: CValue[]) => number | bigint;

export interface Ffi {
  /** Name and version. */
  name: string;
  /**
   * Functions of a shared library; null for one that this version of it does not have.
   *
   * @throws when the library cannot be opened
   */
  open<Name extends string>(
    file: string,
    signatures: Readonly<Record<Name, Signature>>,
  ): Record<Name, CFunction | null>;
  /** Where a buffer lies. It must outlive the use of the address. */
  address(buffer: Uint8Array): bigint;
  /** The text at an address, up to the zero byte. */
  text(address: bigint): string;
}

/** As much as is used here of what koffi's addon exports. */
interface Koffi {
  version: string;
  load(file: string): { func(name: string, result: string, args: string[]): CFunction };
  address(buffer: Uint8Array): bigint | number;
  decode(address: bigint, type: string, length: number): unknown;
}

const KOFFI_TYPES: Readonly<Record<CType, string>> = {
  i32: "int32_t",
  u32: "uint32_t",
  u64: "uint64_t",
  ptr: "void *",
};

/** @throws when the addon is not koffi */
export function koffiFfi(addon: unknown): Ffi {
  if (!isKoffi(addon)) throw new Error("the FFI addon is not koffi");
  return {
    name: `koffi ${addon.version}`,
    open(file, signatures) {
      const library = addon.load(file);
      const bind = ([name, [result, ...args]]: [string, Signature]): [string, CFunction | null] => {
        try {
          const types = args.map((type) => KOFFI_TYPES[type]);
          return [name, library.func(name, KOFFI_TYPES[result], types)];
        } catch {
          return [name, null];
        }
      };
      // `as`: entries of an object that has these names.
      return Object.fromEntries(
        (Object.entries(signatures) as [string, Signature][]).map(bind),
      ) as Record<keyof typeof signatures, CFunction | null>;
    },
    address: (buffer) => BigInt(addon.address(buffer)),
    text: (address) => String(addon.decode(address, "char", -1)),
  };
}

function isKoffi(value: unknown): value is Koffi {
  return (
    typeof value === "object" &&
    value !== null &&
    "version" in value &&
    "load" in value &&
    "address" in value &&
    "decode" in value
  );
}
