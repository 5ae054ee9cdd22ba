/** Semantic versions (Kubernetes' `semver` library). */
import { bool, int, opaque, string } from '../types.ts';
import { comparisons, parsed, sign, value, walk, type Value } from './opaque.ts';
import { fn, method, type Overload } from './signature.ts';

const semverType = opaque('kubernetes.Semver');
interface Version {
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly pre: readonly string[];
}
type Semver = Value<Version>;

const semverForm =
  /^(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$/;

function parseSemver(text: string): Version | undefined {
  const match = text.length <= 256 ? semverForm.exec(text) : null;
  if (!match) return undefined;
  const [, major = '', minor = '', patch = '', pre] = match;
  const parts = pre === undefined ? [] : pre.split('.');
  if (parts.some((part) => part === '' || /^0\d+$/.test(part))) return undefined;
  return { numbers: [BigInt(major), BigInt(minor), BigInt(patch)], pre: parts };
}

/** With `normalize`, `v1.2` and `01.2.3` are versions, too. */
function normalized(text: string, normalize: boolean): string {
  if (!normalize) return text;
  const match = /^v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?([-+].*)?$/.exec(text.slice(0, 256));
  if (!match) return text;
  const [, major = '0', minor = '0', patch = '0', rest = ''] = match;
  return `${BigInt(major)}.${BigInt(minor)}.${BigInt(patch)}${rest}`;
}

function compareVersions(x: Version, y: Version): bigint {
  for (let i = 0; i < 3; i++) {
    const difference = (x.numbers[i] ?? 0n) - (y.numbers[i] ?? 0n);
    if (difference !== 0n) return difference;
  }
  // A version before a release comes before it.
  if (x.pre.length === 0 || y.pre.length === 0)
    return BigInt(Number(x.pre.length === 0) - Number(y.pre.length === 0));
  for (let i = 0; i < Math.max(x.pre.length, y.pre.length); i++) {
    const order = comparePart(x.pre[i], y.pre[i]);
    if (order !== 0n) return order;
  }
  return 0n;
}

function comparePart(x: string | undefined, y: string | undefined): bigint {
  if (x === y) return 0n;
  if (x === undefined || y === undefined) return x === undefined ? -1n : 1n;
  const numeric = /^\d+$/;
  if (numeric.test(x) && numeric.test(y)) return sign(BigInt(x) - BigInt(y));
  if (numeric.test(x) !== numeric.test(y)) return numeric.test(x) ? -1n : 1n;
  return x < y ? -1n : 1n;
}

const semverOf = (text: string): Semver =>
  value(
    'kubernetes.Semver',
    parsed(text, parseSemver, 'semver parse error'),
    (x, y) => compareVersions(x, y) === 0n,
  );
const parts = ['major', 'minor', 'patch'];

export const versionFunctions: readonly Overload[] = [
  fn('semver', [string], semverType, ([text]: readonly [string]) => semverOf(text), walk),
  fn(
    'semver',
    [string, bool],
    semverType,
    ([text, normalize]: readonly [string, boolean]) => semverOf(normalized(text, normalize)),
    walk,
  ),
  fn('isSemver', [string], bool, ([text]: readonly [string]) => parseSemver(text) !== undefined, walk),
  fn(
    'isSemver',
    [string, bool],
    bool,
    ([text, normalize]: readonly [string, boolean]) => parseSemver(normalized(text, normalize)) !== undefined,
    walk,
  ),
  ...parts.map((name, i) =>
    method(name, [semverType], int, ([x]: readonly [Semver]) => x.value.numbers[i] ?? 0n),
  ),
  ...comparisons<Semver>(semverType, (x, y) => compareVersions(x.value, y.value)),
];
