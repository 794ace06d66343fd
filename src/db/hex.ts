/** Hexadecimal text that is stored as half as many bytes. */
import { type SQL, sql } from "drizzle-orm";
import { customType } from "drizzle-orm/sqlite-core";

/** A column of digests: lower-case hexadecimal text in the program, a BLOB in the database. */
export const hexBlob = customType<{ data: string; driverData: Uint8Array | number[] }>({
  dataType: () => "blob",
  toDriver: (hex) => new Uint8Array(Buffer.from(hex, "hex")),
  fromDriver: (bytes) => Buffer.from(bytes).toString("hex"),
});

/** The BLOB of an expression for such text, where the database makes it. */
export function unhex(expression: SQL): SQL {
  return sql`unhex(${expression})`;
}
