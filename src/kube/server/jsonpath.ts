/**
 * The JSONPath subset that printer columns and scale subresources of a CRD may use (Kubernetes `jsonpath` templates,
 * without functions and unions): `.a.b`, `.a\.b`, `['a.b']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `.*`, `..a`,
 * `[?(@.type=="Ready")]`.
 */

type Step = (values: readonly unknown[]) => unknown[];

/** All values that a path finds in an object, in order. */
export type CompiledPath = (root: unknown) => unknown[];

/** Throws an Error that names the path when it is not of the supported subset: a mistake in a definition. */
export function compileJsonPath(path: string): CompiledPath {
  const steps: Step[] = [];
  let rest = path.replace(/^\{(.*)\}$/, '$1').replace(/^\$/, '');
  while (rest !== '') {
    const [step, length] = nextStep(rest) ?? [];
    if (!step || !length) throw new Error(`unsupported JSONPath ${path} at ${rest}`);
    steps.push(step);
    rest = rest.slice(length);
  }
  return (root) => steps.reduce<unknown[]>((values, step) => step(values), [root]);
}

/** Column and scale paths without a leading dot are accepted too, as kube-apiserver relaxes them. */
const memberPattern = /^\.?((?:\\.|[^.[\]\\])+)/;
const quotedPattern = /^\[(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")\]/;
const slicePattern = /^\[(-?\d*):(-?\d*)\]/;
const everywherePattern = /^\.\.(?=[^.[])/;
const indexPattern = /^\[(-?\d+)\]/;
const wildcardPattern = /^(?:\[\*\]|\.\*)/;
const filterPattern =
  /^\[\?\(\s*@((?:\.[\w-]+|\['[^']+'\])+)\s*(==|!=)\s*(?:'([^']*)'|"([^"]*)"|(-?\d+|true|false))\s*\)\]/;

function nextStep(text: string): [Step, number] | undefined {
  const wildcard = wildcardPattern.exec(text);
  if (wildcard) return [everyChild, wildcard[0].length];
  const filter = filterPattern.exec(text);
  if (filter) {
    const [whole, path = '', operator, ...literals] = filter;
    return [filterStep(path, operator === '==', literals.find((l) => l !== undefined) ?? ''), whole.length];
  }
  const everywhere = everywherePattern.exec(text);
  if (everywhere) return [descendants, everywhere[0].length];
  const slice = slicePattern.exec(text);
  if (slice) return [sliceStep(slice[1] ?? '', slice[2] ?? ''), slice[0].length];
  const index = indexPattern.exec(text);
  if (index) return [indexStep(Number(index[1])), index[0].length];
  const quoted = quotedPattern.exec(text);
  if (quoted) return [memberStep(unescape(quoted[1] ?? quoted[2] ?? '')), quoted[0].length];
  const member = memberPattern.exec(text);
  if (member) return [memberStep(unescape(member[1] ?? '')), member[0].length];
  return undefined;
}

const unescape = (text: string): string => text.replace(/\\(.)/g, '$1');

function memberStep(name: string): Step {
  return (values) =>
    values.flatMap((value) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, name)
        ? [(value as Record<string, unknown>)[name]]
        : [],
    );
}

function indexStep(index: number): Step {
  return (values) =>
    values.flatMap((value) => {
      const item: unknown = Array.isArray(value) ? value.at(index) : undefined;
      return item === undefined ? [] : [item];
    });
}

function sliceStep(from: string, to: string): Step {
  return (values) =>
    values.flatMap((value) =>
      Array.isArray(value)
        ? (value.slice(Number(from), to === '' ? undefined : Number(to)) as unknown[])
        : [],
    );
}

/** The values themselves and everything below them, each once: paths may descend again and again. */
const descendants: Step = (values) => {
  const seen = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    Object.values(value).forEach(visit);
  };
  values.forEach(visit);
  return [...seen];
};

const everyChild: Step = (values) =>
  values.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []));

function filterStep(path: string, wantsEqual: boolean, literal: string): Step {
  const inner = compileJsonPath(path);
  return (values) =>
    values.flatMap((value) =>
      Array.isArray(value)
        ? value.filter((item) => {
            const [found] = inner(item);
            return isScalar(found) && (String(found) === literal) === wantsEqual;
          })
        : [],
    );
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
