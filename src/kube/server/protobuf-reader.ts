/** A cursor over protobuf bytes. Every read is checked against the end of its message; all failures are plain Errors. */
export class ProtobufReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  more(): boolean {
    return this.#at < this.#end;
  }

  tag(): { number: number; wire: number } {
    const key = this.varint();
    if (key < 8 || key > 0xffffffff) throw new Error('illegal protobuf tag');
    return { number: Math.floor(key / 8), wire: key % 8 };
  }

  /** A signed 64-bit number. Throws for one that a double cannot hold exactly. */
  varint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return exactNumber(BigInt.asIntN(64, value));
    }
    throw new Error('integer overflow');
  }

  double(): number {
    const value = this.#bytes.readDoubleLE(this.#take(8));
    return value;
  }

  bytes(): Buffer {
    const length = this.#length();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    return this.bytes().toString('utf8');
  }

  message(): ProtobufReader {
    const length = this.#length();
    const start = this.#take(length);
    return new ProtobufReader(this.#bytes, start, start + length);
  }

  skip(wire: number): void {
    if (wire === 0) while (this.#byte() >= 0x80);
    else if (wire === 1) this.#take(8);
    else if (wire === 2) this.#take(this.#length());
    else if (wire === 5) this.#take(4);
    else throw new Error(`illegal wire type ${wire}`);
  }

  #length(): number {
    const length = this.varint();
    if (length < 0) throw new Error('negative length');
    return length;
  }

  /** Moves past `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) throw new Error('unexpected EOF');
    this.#at = start + length;
    return start;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }
}

function exactNumber(value: bigint): number {
  const number = Number(value);
  if (BigInt(number) !== value) {
    throw new Error(`the integer ${value} cannot be kept exactly; integers beyond 2^53 belong in strings`);
  }
  return number;
}
