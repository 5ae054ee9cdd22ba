/** Named sets of characters in RE2's syntax, all of ASCII. */

/** Inclusive ranges of code points, sorted. */
export type Ranges = readonly (readonly [number, number])[];

export const simpleEscapes: { readonly [letter: string]: number | undefined } = {
  a: 7,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
};

const digit: Ranges = [[48, 57]];
const upper: Ranges = [[65, 90]];
const lower: Ranges = [[97, 122]];
const alnum: Ranges = [...digit, ...upper, ...lower];
const word: Ranges = [...alnum, [95, 95]];
const space: Ranges = [
  [9, 10],
  [12, 13],
  [32, 32],
];
export const perlClasses: { readonly [letter: string]: Ranges | undefined } = { d: digit, s: space, w: word };
export const posixClasses: { readonly [name: string]: Ranges | undefined } = {
  alnum,
  alpha: [...upper, ...lower],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit,
  graph: [[33, 126]],
  lower,
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper,
  word,
  xdigit: [...digit, [65, 70], [97, 102]],
};
