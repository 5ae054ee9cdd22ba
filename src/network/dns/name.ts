/** Domain names on the wire (RFC 1035, sections 3.1 and 4.1.4). As text they have no dot at the end; '' is the root. */

const maxName = 255;
const maxLabel = 63;
const pointerBits = 0xc0;

/** Bytes that do not make sense as a message. */
export class DnsFormatError extends Error {
  override name = 'DnsFormatError';
}

export interface NameAt {
  /** In lower case; bytes of labels that text cannot show, dots above all, as `\ddd`. */
  readonly name: string;
  /** Where what follows the name begins. */
  readonly end: number;
}

/**
 * Reads a name. Each pointer must lead further back than the one before, so that there is no loop. Throws
 * {@link DnsFormatError}. `pointers`: whether there may be any.
 */
export function readName(message: Buffer, offset: number, pointers = true): NameAt {
  const labels: string[] = [];
  let [at, end, length, earliest] = [offset, -1, 1, offset];
  for (;;) {
    const size = byteAt(message, at);
    if (size === 0) return { name: labels.join('.'), end: end === -1 ? at + 1 : end };
    if ((size & pointerBits) === pointerBits) {
      const target = ((size & 0x3f) << 8) | byteAt(message, at + 1);
      if (!pointers || target >= earliest) throw new DnsFormatError('a pointer that does not lead back');
      if (end === -1) end = at + 2;
      at = earliest = target;
      continue;
    }
    if (size > maxLabel) throw new DnsFormatError('a label of an unknown kind');
    length += size + 1;
    if (length > maxName || at + 1 + size > message.length) throw new DnsFormatError('a name too long');
    labels.push(textOf(message.subarray(at + 1, at + 1 + size)));
    at += 1 + size;
  }
}

function byteAt(message: Buffer, offset: number): number {
  const byte = message[offset];
  if (byte === undefined) throw new DnsFormatError('the message ends too early');
  return byte;
}

function textOf(label: Buffer): string {
  const text = label.toString('latin1');
  if (/^[\w-]+$/.test(text)) return text.toLowerCase();
  return [...label]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[\w-]/.test(char) ? char.toLowerCase() : `\\${String(byte).padStart(3, '0')}`;
    })
    .join('');
}

/** The labels of a name that was read, or that objects have. */
export function labelsOf(name: string): string[] {
  return name === '' ? [] : name.split('.');
}

/** The bytes of one label; the reverse of what reading makes of it. Throws {@link DnsFormatError}. */
export function labelBytes(label: string): Buffer {
  const bytes = Buffer.from(
    label.replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number(code))),
    'latin1',
  );
  if (bytes.length === 0 || bytes.length > maxLabel)
    throw new DnsFormatError('a label of no or too many bytes');
  return bytes;
}
