/** Quantities, URLs and named formats, as Kubernetes adds them to CEL. */
import { parseExact, type ExactQuantity } from '../../../../api/kubernetes/exact-quantity.ts';
import {
  dnsLabelFault,
  dnsSubdomainFault,
  labelKeyFault,
  labelValueFault,
} from '../../../../api/kubernetes/names.ts';
import { formatFault } from '../../../../api/structural-formats.ts';
import { bool, double, int, listOf, mapOf, opaque, optionalOf, string } from '../types.ts';
import { CelMap, Optional } from '../values.ts';
import { comparisons, maxText, parsed, sign, value, walk, type Value } from './opaque.ts';
import { checked, fail, fn, method, traversal, type Overload } from './signature.ts';

// ---- quantities ------------------------------------------------------------------------------------------------

const quantityType = opaque('kubernetes.Quantity');
type Quantity = Value<ExactQuantity>;

const quantity = (content: ExactQuantity): Quantity =>
  value('kubernetes.Quantity', content, (x, y) => x.nano === y.nano);
const one = 1_000_000_000n;
const limitQuantity = (text: string): ExactQuantity | undefined =>
  text.length > 64 ? undefined : parseExact(text);

function wholeUnits(nano: bigint): bigint {
  return nano % one === 0n ? checked(nano / one) : fail('cannot convert value to integer');
}

function change(name: 'add' | 'sub', factor: bigint): Overload[] {
  return [
    method(name, [quantityType, quantityType], quantityType, ([x, y]: readonly [Quantity, Quantity]) =>
      quantity({ ...x.value, nano: x.value.nano + factor * y.value.nano }),
    ),
    method(name, [quantityType, int], quantityType, ([x, y]: readonly [Quantity, bigint]) =>
      quantity({ ...x.value, nano: x.value.nano + factor * y * one }),
    ),
  ];
}

const quantities: readonly Overload[] = [
  fn(
    'quantity',
    [string],
    quantityType,
    ([text]: readonly [string]) =>
      quantity(parsed(text, limitQuantity, 'quantities must match the regular expression')),
    walk,
  ),
  fn('isQuantity', [string], bool, ([text]: readonly [string]) => limitQuantity(text) !== undefined, walk),
  method('sign', [quantityType], int, ([x]: readonly [Quantity]) => sign(x.value.nano)),
  method('isInteger', [quantityType], bool, ([x]: readonly [Quantity]) => x.value.nano % one === 0n),
  method('asInteger', [quantityType], int, ([x]: readonly [Quantity]) => wholeUnits(x.value.nano)),
  method(
    'asApproximateFloat',
    [quantityType],
    double,
    ([x]: readonly [Quantity]) => Number(x.value.nano) / 1e9,
  ),
  ...change('add', 1n),
  ...change('sub', -1n),
  ...comparisons<Quantity>(quantityType, (x, y) => x.value.nano - y.value.nano),
];

// ---- URLs ------------------------------------------------------------------------------------------------------

const urlType = opaque('kubernetes.URL');
interface UrlParts {
  readonly text: string;
  readonly url: URL;
  /** A path alone, without scheme and host. */
  readonly relative: boolean;
}
type Url = Value<UrlParts>;

/** Absolute URLs, and absolute paths, as Go's ParseRequestURI takes them. */
function parseUrl(text: string): UrlParts | undefined {
  const relative = text.startsWith('/');
  if (!relative && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(text)) return undefined;
  const base = relative ? 'http://relative' : undefined;
  // Go leaves it to the reader to escape spaces.
  const escaped = text.replaceAll(' ', '%20');
  if (/[\p{Cc}]/u.test(text) || !URL.canParse(escaped, base)) return undefined;
  return { text, url: new URL(escaped, base), relative };
}

const hostOf = ({ value: { url, relative } }: Url): string => (relative ? '' : url.host);

function queryOf({ value: { url } }: Url): CelMap {
  const map = new CelMap();
  for (const name of new Set(url.searchParams.keys())) map.set(name, url.searchParams.getAll(name));
  return map;
}

/** The port as written: the URL class drops the one that a scheme implies. */
function portOf({ value: { text, relative } }: Url): string {
  const authority = relative ? undefined : /^[^:]+:\/\/([^/?#]*)/.exec(text)?.[1];
  return authority === undefined ? '' : (/:(\d*)$/.exec(authority)?.[1] ?? '');
}

const urls: readonly Overload[] = [
  fn(
    'url',
    [string],
    urlType,
    ([text]: readonly [string]) =>
      value(
        'kubernetes.URL',
        parsed(text, parseUrl, 'URL parse error during conversion from string'),
        (x, y) => x.text === y.text,
      ),
    walk,
  ),
  fn(
    'isURL',
    [string],
    bool,
    ([text]: readonly [string]) => text.length <= maxText && parseUrl(text) !== undefined,
    walk,
  ),
  method('getScheme', [urlType], string, ([x]: readonly [Url]) =>
    x.value.relative ? '' : x.value.url.protocol.slice(0, -1),
  ),
  method('getHost', [urlType], string, ([x]: readonly [Url]) => {
    const port = portOf(x);
    const host = hostOf(x);
    return port !== '' && x.value.url.port === '' ? `${host}:${port}` : host;
  }),
  method('getHostname', [urlType], string, ([x]: readonly [Url]) =>
    x.value.relative ? '' : x.value.url.hostname.replace(/^\[(.*)\]$/, '$1'),
  ),
  method('getPort', [urlType], string, ([x]: readonly [Url]) => portOf(x)),
  method('getEscapedPath', [urlType], string, ([x]: readonly [Url]) => {
    const { url, text } = x.value;
    return url.pathname === '/' && !/^([^/]*\/\/[^/]*)?\//.test(text) ? '' : url.pathname;
  }),
  method('getQuery', [urlType], mapOf(string, listOf(string)), ([x]: readonly [Url]) => queryOf(x)),
];

// ---- named formats ---------------------------------------------------------------------------------------------

const formatType = opaque('kubernetes.NamedFormat');
type Format = Value<{ readonly name: string; readonly fault: (text: string) => string | undefined }>;

const dns1035 = (text: string): string | undefined =>
  text.length <= 63 && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(text)
    ? undefined
    : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
/** A prefix of a generated name may end where more will follow. */
const prefixOf = (fault: (text: string) => string | undefined) => (text: string) =>
  fault(text.replace(/-$/, 'a'));
const schemaFormat = (name: string) => (text: string) => formatFault(name, text);

const formats: Readonly<Record<string, (text: string) => string | undefined>> = {
  dns1123Label: dnsLabelFault,
  dns1123Subdomain: dnsSubdomainFault,
  dns1035Label: dns1035,
  qualifiedName: labelKeyFault,
  dns1123LabelPrefix: prefixOf(dnsLabelFault),
  dns1123SubdomainPrefix: prefixOf(dnsSubdomainFault),
  dns1035LabelPrefix: prefixOf(dns1035),
  labelValue: labelValueFault,
  uri: (text) => (parseUrl(text) ? undefined : 'invalid URI'),
  uuid: (text) => (schemaFormat('uuid')(text) ? 'does not match the UUID format' : undefined),
  byte: (text) => (schemaFormat('byte')(text) ? 'invalid base64' : undefined),
  date: (text) => (schemaFormat('date')(text) ? 'invalid date' : undefined),
  datetime: (text) => (schemaFormat('date-time')(text) ? 'invalid datetime' : undefined),
};

const named = (name: string): Format =>
  value(
    'kubernetes.NamedFormat',
    { name, fault: formats[name] ?? (() => undefined) },
    (x, y) => x.name === y.name,
  );

const namedFormats: readonly Overload[] = [
  ...Object.keys(formats).map((name) => fn(`format.${name}`, [], formatType, () => named(name))),
  fn('format.named', [string], optionalOf(formatType), ([name]: readonly [string]) =>
    Object.hasOwn(formats, name) ? Optional.of(named(name)) : Optional.none,
  ),
  method(
    'validate',
    [formatType, string],
    optionalOf(listOf(string)),
    ([format, text]: readonly [Format, string]) => {
      const fault = text.length <= maxText ? format.value.fault(text) : 'too long';
      return fault === undefined ? Optional.none : Optional.of([fault]);
    },
    { cost: (sizes) => (sizes[1] ?? 1) * traversal },
  ),
];

export const kubernetesFunctions: readonly Overload[] = [...quantities, ...urls, ...namedFormats];
