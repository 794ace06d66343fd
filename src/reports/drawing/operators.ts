/** Content operators as bytes: as strings, those of a large report would take 50 times as much memory. */

const FIRST_BYTES = 16 * 1_024;
/** More than a number of 20 digits takes. */
const NUMBER_BYTES = 32;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const SPACE = 0x20;
const NEW_LINE = 0x0a;
const OPEN = 0x28;
const CLOSE = 0x29;
const BACKSLASH = 0x5c;
const RETURN = 0x0d;
const LETTER_R = 0x72;

/** A growing list of bytes: numbers, names of operators, and literal strings. */
export class Operators {
  #bytes = new Uint8Array(FIRST_BYTES);
  #used = 0;

  /** The bytes so far, valid until the next call. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }

  /** Bytes of memory. */
  get size(): number {
    return this.#bytes.length;
  }

  clear(): void {
    this.#used = 0;
  }

  /** A number and a space. Hundredths of a point are finer than any printer. */
  number(value: number): this {
    this.#reserve(NUMBER_BYTES);
    const hundredths = Math.round(value * 100);
    const size = Math.abs(hundredths);
    if (hundredths < 0) this.#put(MINUS);
    this.#whole(Math.trunc(size / 100));
    const rest = size % 100;
    if (rest > 0) {
      this.#put(POINT);
      this.#put(ZERO + Math.trunc(rest / 10));
      if (rest % 10 > 0) this.#put(ZERO + (rest % 10));
    }
    this.#put(SPACE);
    return this;
  }

  /** The name of an operator, or other ASCII text. */
  name(text: string): this {
    this.#reserve(text.length);
    for (let at = 0; at < text.length; at++) this.#put(text.charCodeAt(at));
    return this;
  }

  /** A literal string; each code has two bytes. */
  literal(text: string, codes: { of(unit: number): number }): this {
    this.#reserve(4 * text.length + 2);
    this.#put(OPEN);
    for (let at = 0; at < text.length; at++) {
      const code = codes.of(text.charCodeAt(at));
      this.#escaped(code >> 8);
      this.#escaped(code & 0xff);
    }
    this.#put(CLOSE);
    return this;
  }

  #escaped(byte: number): void {
    if (byte === OPEN || byte === CLOSE || byte === BACKSLASH || byte === RETURN) {
      this.#put(BACKSLASH);
    }
    // A bare carriage return would be read as a line feed.
    this.#put(byte === RETURN ? LETTER_R : byte);
  }

  end(): void {
    this.#reserve(1);
    this.#put(NEW_LINE);
  }

  #whole(value: number): void {
    let power = 1;
    while (value / power >= 10) power *= 10;
    for (let rest = value; power >= 1; power /= 10) {
      const digit = Math.trunc(rest / power);
      this.#put(ZERO + digit);
      rest -= digit * power;
    }
  }

  #put(byte: number): void {
    this.#bytes[this.#used++] = byte;
  }

  #reserve(more: number): void {
    if (this.#used + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#used + more));
    larger.set(this.bytes);
    this.#bytes = larger;
  }
}
