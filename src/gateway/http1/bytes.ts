/** Byte classes and comparisons that the HTTP/1.1 parsers share (RFC 9110 section 5, RFC 9112). */

function classOf(member: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (member(byte) ? 1 : 0));
}

const tokenCharacters = new Set(
  Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
);

/** 1 for bytes of a token: methods and field names. */
export const TOKEN = classOf((byte) => tokenCharacters.has(byte));
/** 1 for bytes of a field value: tab, and everything printable including obs-text; no CR, LF, NUL or DEL. */
export const FIELD = classOf((byte) => byte === 9 || (byte >= 0x20 && byte !== 0x7f));
/** 1 for bytes of a request target: printable without space and `#`; raw UTF-8 is let through as apps expect it. */
export const TARGET = classOf((byte) => byte > 0x20 && byte !== 0x7f && byte !== 0x23);
/** Lower case of ASCII letters, everything else unchanged. */
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));
/** Value of a hexadecimal digit, 255 for any other byte. */
export const HEX = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase());
  return value < 0 ? 255 : value;
});

/** The byte at `i`; callers know that it is inside. */
export function at(bytes: Uint8Array | Int32Array, i: number): number {
  return bytes[i] as number;
}

/** ASCII text as bytes. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Whether `bytes[start, start + word.length)` equals the lower-case `word`, ignoring ASCII case. */
export function equalsIgnoringCase(bytes: Uint8Array, start: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i++) {
    if (at(LOWER, at(bytes, start + i)) !== at(word, i)) return false;
  }
  return true;
}

/** Whether `bytes[start, end)` is exactly the lower-case `word`, ignoring ASCII case. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  return end - start === word.length && equalsIgnoringCase(bytes, start, word);
}

/** First byte at or after `start` that is neither space nor tab. */
export function skipBlank(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && (at(bytes, i) === 32 || at(bytes, i) === 9)) i++;
  return i;
}

/** End of `bytes[start, end)` without spaces and tabs behind. */
export function trimBlank(bytes: Uint8Array, start: number, end: number): number {
  let i = end;
  while (i > start && (at(bytes, i - 1) === 32 || at(bytes, i - 1) === 9)) i--;
  return i;
}
