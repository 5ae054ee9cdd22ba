/** Points in time as Kubernetes' own types carry them: `metav1.Time`, whole seconds, and `metav1.MicroTime`. */

export type TimeType = 'Time' | 'MicroTime';

/** What `metav1.Time` and `metav1.MicroTime` are read by, in Go's spelling. */
const layouts: { readonly [type in TimeType]: string } = {
  Time: '2006-01-02T15:04:05Z07:00',
  MicroTime: '2006-01-02T15:04:05.000000Z07:00',
};

/** The elements of both layouts, in order: as Go names them, and what each takes. */
const elements: readonly (readonly [string, RegExp])[] = [
  ['2006', /^\d{4}/],
  ['-', /^-/],
  ['01', /^\d\d/],
  ['-', /^-/],
  ['02', /^\d\d/],
  ['T', /^T/],
  ['15', /^\d\d/],
  [':', /^:/],
  ['04', /^\d\d/],
  [':', /^:/],
  ['05', /^\d\d/],
];
const zone: readonly [string, RegExp] = ['Z07:00', /^(Z|[+-]\d\d:\d\d)/];
/** A fraction may follow the seconds of a Time; a MicroTime has six digits of it. */
const fraction: { readonly [type in TimeType]: readonly [string, RegExp] } = {
  Time: ['', /^([.,]\d+)?/],
  MicroTime: ['.000000', /^[.,]\d{6}(?!\d)/],
};

const canonical = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/;
const parts = /^(.{19})(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;

/** Why Go's decoder refuses the text as a time, in its words; undefined for a good one. */
export function timeFault(type: TimeType, text: string): string | undefined {
  const shown = JSON.stringify(text);
  let rest = text;
  for (const [element, form] of [...elements, fraction[type], zone]) {
    const [found] = form.exec(rest) ?? [];
    if (found === undefined) {
      const what = `cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(element)}`;
      return `parsing time ${shown} as ${JSON.stringify(layouts[type])}: ${what}`;
    }
    rest = rest.slice(found.length);
  }
  if (rest !== '') return `parsing time ${shown}: extra text: ${JSON.stringify(rest)}`;
  const unit = outOfRange(text);
  return unit && `parsing time ${shown}: ${unit} out of range`;
}

function outOfRange(text: string): string | undefined {
  const at = (from: number): number => Number(text.slice(from, from + 2));
  const month = at(5);
  if (month < 1 || month > 12) return 'month';
  const days = new Date(Date.UTC(Number(text.slice(0, 4)), month, 0)).getUTCDate();
  if (at(8) < 1 || at(8) > days) return 'day';
  if (at(11) > 23) return 'hour';
  if (at(14) > 59) return 'minute';
  return at(17) > 59 ? 'second' : undefined;
}

/**
 * The one spelling in which Kubernetes keeps and shows a point in time: UTC with `Z`, whole seconds or six digits of the
 * fraction. Clients send others (`+00:00`, milliseconds), and read-modify-write must not look like a change. What is no
 * time stays as it is.
 */
export function canonicalTime(type: TimeType, text: string): string {
  if (canonical.test(text) && (text.length === 27) === (type === 'MicroTime')) return text;
  const [, whole = '', digits = '', offset = ''] = parts.exec(text) ?? [];
  const ms = Date.parse(`${whole}${offset}`);
  if (Number.isNaN(ms)) return text;
  const seconds = new Date(ms).toISOString().slice(0, -5);
  return type === 'Time' ? `${seconds}Z` : `${seconds}.${digits.padEnd(6, '0').slice(0, 6)}Z`;
}
