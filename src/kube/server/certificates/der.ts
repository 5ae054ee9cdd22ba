/** Reads DER (X.690) from anyone: every length is checked against what is there, nesting follows the reader's own calls. */

export class DerError extends Error {}

export interface DerItem {
  /** Class, form and number in one byte, as on the wire: 0x30 for a SEQUENCE. */
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly whole: Buffer;
}

export const derTags = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  sequence: 0x30,
  set: 0x31,
} as const;

export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next item. Throws {@link DerError} at the end, on forms that DER does not have, and on another tag than `wanted`. */
  next(wanted?: number): DerItem {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new DerError('tags of several bytes are not expected here');
    if (wanted !== undefined && tag !== wanted) {
      throw new DerError(`found tag 0x${tag.toString(16)} in place of 0x${wanted.toString(16)}`);
    }
    const length = this.#length();
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new DerError('an item is longer than what contains it');
    this.#at = from + length;
    return {
      tag,
      content: this.#bytes.subarray(from, this.#at),
      whole: this.#bytes.subarray(start, this.#at),
    };
  }

  /** The content of the next item, to be read itself. */
  inside(wanted: number): DerReader {
    return new DerReader(this.next(wanted).content);
  }

  /** Refuses bytes that belong to nothing. */
  end(): void {
    if (!this.isAtEnd) throw new DerError('there is something behind the last item');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new DerError('the data ends in the middle of an item');
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw new DerError('the length of an item has no form of DER');
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    return length;
  }
}

/** `1.2.840…` of an OBJECT IDENTIFIER's content. */
export function readObjectId(content: Buffer): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const [i, byte] of content.entries()) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new DerError('an object identifier is too large');
    if (byte & 0x80) {
      if (i === content.length - 1) throw new DerError('an object identifier is cut off');
      continue;
    }
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40));
      arcs.push(first, arc - first * 40);
    } else arcs.push(arc);
    arc = 0;
  }
  if (arcs.length === 0) throw new DerError('an object identifier is empty');
  return arcs.join('.');
}

/** The bytes of a BIT STRING's content that has no unused bits. */
export function readBitString(content: Buffer): Buffer {
  if (content[0] !== 0) throw new DerError('a bit string has unused bits');
  return content.subarray(1);
}
