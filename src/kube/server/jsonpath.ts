/**
 * The JSONPath subset that printer columns and scale subresources of a CRD may use (Kubernetes `jsonpath` templates,
 * without functions and unions): `.a.b`, `.a\.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `.*`, `[?(@.type=="Ready")]`.
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
