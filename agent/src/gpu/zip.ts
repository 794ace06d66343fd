/** Where a file lies in a zip archive, such as a Python wheel. */
import { fstatSync, readSync } from "node:fs";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const DEFLATED = 8;
const MAX_COMMENT = 0xffff;
/** Of the list of files; a wheel has a few kilobytes. */
const MAX_DIRECTORY = 16 << 20;

/**
 * First and last byte (exclusive) of a deflated file's data. Archives above 4 GiB have another form, which is not read.
 *
 * @throws when this is no such archive, or the file is not in it
 */
export function findInZip(fd: number, name: string): { start: number; end: number } {
  const { size } = fstatSync(fd);
  const tail = read(fd, Math.max(0, size - END_BYTES - MAX_COMMENT), size);
  let at = tail.length - END_BYTES;
  while (at >= 0 && tail.readUInt32LE(at) !== END) at--;
  if (at < 0) throw new Error("this is not a zip archive");
  const [length, offset] = [tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
  if (length > MAX_DIRECTORY || offset + length > size)
    throw new Error("the zip archive is damaged");
  const directory = read(fd, offset, offset + length);
  for (let entry = 0; entry + ENTRY_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(entry) !== ENTRY) break;
    const nameLength = directory.readUInt16LE(entry + 28);
    const more = directory.readUInt16LE(entry + 30) + directory.readUInt16LE(entry + 32);
    const found = directory.toString("utf8", entry + ENTRY_BYTES, entry + ENTRY_BYTES + nameLength);
    if (found === name) return dataOf(fd, directory.subarray(entry), size);
    entry += ENTRY_BYTES + nameLength + more;
  }
  throw new Error(`${name} is not in the zip archive`);
}

function dataOf(fd: number, entry: Buffer, size: number): { start: number; end: number } {
  if (entry.readUInt16LE(10) !== DEFLATED)
    throw new Error("the file in the archive is not deflated");
  const at = entry.readUInt32LE(42);
  const local = read(fd, at, at + LOCAL_BYTES);
  if (local.length < LOCAL_BYTES || local.readUInt32LE(0) !== LOCAL) {
    throw new Error("the zip archive is damaged");
  }
  const start = at + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  const end = start + entry.readUInt32LE(20);
  if (end > size) throw new Error("the zip archive is damaged");
  return { start, end };
}

function read(fd: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start);
  const count = readSync(fd, bytes, 0, bytes.length, start);
  return bytes.subarray(0, count);
}
