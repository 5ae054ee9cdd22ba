/** ISO 8601 durations (`PT0.2S`, `P1DT2H`), as the delivery options of Knative Eventing write them. */

const period =
  /^([+-]?)P(?:(\d+(?:[.,]\d+)?)Y)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)W)?(?:(\d+(?:[.,]\d+)?)D)?(?:T(?:(\d+(?:[.,]\d+)?)H)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/;

const hour = 3_600_000;
const day = 24 * hour;
/** Years and months have no fixed length: the mean of the Gregorian calendar. */
const unitMs = [365.2425 * day, 30.436875 * day, 7 * day, day, hour, 60_000, 1000] as const;

/** Milliseconds of an ISO 8601 duration, or undefined when the text is not one. */
export function parsePeriod(text: string): number | undefined {
  const match = period.exec(text);
  if (!match || /[PT]$/.test(text)) return undefined;
  const total = unitMs.reduce((sum, unit, i) => {
    const number = match[i + 2];
    return number === undefined ? sum : sum + Number(number.replace(',', '.')) * unit;
  }, 0);
  return match[1] === '-' ? -total : total;
}
