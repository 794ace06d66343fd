/**
 * The colours that a report means: an ICC profile (ICC.1:2001-04, version 2) of sRGB, made from the formula of
 * IEC 61966-2-1. PDF/A asks for one.
 */

const HEADER_BYTES = 128;
const ENTRY_BYTES = 12;
const VERSION = 0x02_10_00_00;
/** The curve is given at so many values; between them it is linear. */
const CURVE_POINTS = 1_024;
/** Of the profile connection space, D50. */
const WHITE = [0.9642, 1, 0.8249] as const;
/** The primaries as seen in that white. */
const PRIMARIES = {
  rXYZ: [0.43607, 0.22249, 0.01392],
  gXYZ: [0.38515, 0.71687, 0.09708],
  bXYZ: [0.14307, 0.06061, 0.7141],
} as const;

let made: Uint8Array | null = null;

/** Made once. */
export function colourProfile(): Uint8Array {
  made ??= makeProfile();
  return made;
}

function makeProfile(): Uint8Array {
  const curve = curveOf(CURVE_POINTS);
  const tags: [name: string, data: Buffer][] = [
    ["desc", description("sRGB")],
    ["cprt", typed("text", Buffer.from("No copyright\0", "latin1"))],
    ["wtpt", xyz(WHITE)],
    ...Object.entries(PRIMARIES).map(([name, value]): [string, Buffer] => [name, xyz(value)]),
    ...["rTRC", "gTRC", "bTRC"].map((name): [string, Buffer] => [name, curve]),
  ];
  const first = HEADER_BYTES + 4 + tags.length * ENTRY_BYTES;
  const table = Buffer.alloc(4 + tags.length * ENTRY_BYTES);
  table.writeUInt32BE(tags.length);
  const places = new Map<Buffer, number>();
  const parts: Buffer[] = [];
  let end = first;
  for (const [at, [name, data]] of tags.entries()) {
    let place = places.get(data);
    if (place === undefined) {
      place = end;
      places.set(data, place);
      parts.push(data);
      end += data.length;
    }
    const from = 4 + at * ENTRY_BYTES;
    table.write(name, from, "latin1");
    table.writeUInt32BE(place, from + 4);
    table.writeUInt32BE(data.length, from + 8);
  }
  return Buffer.concat([header(end), table, ...parts]);
}

function header(length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32BE(length);
  bytes.writeUInt32BE(VERSION, 8);
  bytes.write("mntrRGB XYZ ", 12, "latin1");
  // The date of the standard: the same bytes each time.
  for (const [at, part] of [1999, 10, 18].entries()) bytes.writeUInt16BE(part, 24 + 2 * at);
  bytes.write("acsp", 36, "latin1");
  fixed(WHITE).copy(bytes, 68);
  return bytes;
}

/** Data of a tag, filled up to a multiple of four bytes. */
function typed(type: string, data: Buffer): Buffer {
  const padding = Buffer.alloc((4 - (data.length % 4)) % 4);
  return Buffer.concat([Buffer.from(`${type}\0\0\0\0`, "latin1"), data, padding]);
}

function xyz(value: readonly number[]): Buffer {
  return typed("XYZ ", fixed(value));
}

function fixed(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries())
    bytes.writeInt32BE(Math.round(value * 65_536), 4 * at);
  return bytes;
}

/** Its name in ASCII; those in other alphabets are empty. */
function description(name: string): Buffer {
  const ascii = Buffer.from(`${name}\0`, "latin1");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(ascii.length);
  return typed("desc", Buffer.concat([length, ascii, Buffer.alloc(4 + 4 + 2 + 1 + 67)]));
}

function curveOf(points: number): Buffer {
  const bytes = Buffer.alloc(4 + 2 * points);
  bytes.writeUInt32BE(points);
  for (let at = 0; at < points; at++) {
    const value = at / (points - 1);
    const linear = value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    bytes.writeUInt16BE(Math.round(linear * 65_535), 4 + 2 * at);
  }
  return typed("curv", bytes);
}
