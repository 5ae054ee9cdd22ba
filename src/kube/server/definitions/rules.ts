/** `x-kubernetes-validations`: faults of the rules in a definition, and the rules at work on objects. */
import { deepEqual } from '../../../base/json.ts';
import type { UntypedObject } from '../../../api/object.ts';
import type { Issue } from '../../../api/resource.ts';
import type { Schema, ValidationRule } from '../../../api/schema.ts';
import { isMembers } from '../../../api/structural-members.ts';
import {
  Budget,
  BudgetError,
  CelEvaluationError,
  compileRule,
  mostInRequest,
  Data,
  ruleBudget,
  RuleFault,
  selfType,
  type CompiledRule,
} from '../cel/index.ts';
import type { RawSchema } from './definition.ts';
import { objectSchema } from './schema.ts';
import type { RuleValidator } from './versions.ts';

/** Limits of kube-apiserver: the estimate of one rule, that of a whole schema, and what one object may spend. */
const ruleCostLimit = 10_000_000;
const schemaCostLimit = 100_000_000;
const objectBudget = 10_000_000;
const maxMessage = 2048;

const reasons: Readonly<Record<string, Issue['type']>> = {
  FieldValueInvalid: 'Invalid',
  FieldValueForbidden: 'Forbidden',
  FieldValueRequired: 'Required',
  FieldValueDuplicate: 'Duplicate',
};

interface Place {
  readonly path: string;
  readonly root: boolean;
  /** How often the place may occur in one object; undefined where only the size of a request bounds it. */
  readonly count: number | undefined;
  /** An old value can be found for a new one here. */
  readonly correlates: boolean;
}

/** Faults of all rules of a schema that is structural; `path` leads to it. */
export function ruleFaults(raw: RawSchema, path: string): Issue[] {
  const issues: Issue[] = [];
  const total = { cost: 0 };
  const schema = objectSchema(raw);
  visit(schema, { path, root: true, count: 1, correlates: true }, issues, total);
  if (issues.length === 0 && total.cost > schemaCostLimit) {
    issues.push({
      type: 'Forbidden',
      path,
      detail: costDetail(
        total.cost / schemaCostLimit,
        'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema',
      ),
    });
  }
  return issues;
}

function visit(schema: Schema, place: Place, issues: Issue[], total: { cost: number }): void {
  const rules = schema['x-kubernetes-validations'] ?? [];
  rules.forEach((rule, i) => {
    const at = `${place.path}.x-kubernetes-validations[${i}]`;
    const faults = oneRuleFaults(rule, schema, place, at, total);
    issues.push(...faults);
  });
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const inner = { ...place, root: false, path: `${place.path}.properties[${name}]` };
    visit(child, inner, issues, total);
  }
  if (schema.additionalProperties) {
    const count = times(place.count, schema.maxProperties);
    const inner = { ...place, root: false, count, path: `${place.path}.additionalProperties` };
    visit(schema.additionalProperties, inner, issues, total);
  }
  if (schema.items) {
    const count = times(place.count, schema.maxItems);
    const correlates = place.correlates && schema['x-kubernetes-list-type'] === 'map';
    visit(schema.items, { path: `${place.path}.items`, root: false, count, correlates }, issues, total);
  }
}

function times(count: number | undefined, max: number | undefined): number | undefined {
  return count === undefined || max === undefined ? undefined : count * max;
}

function oneRuleFaults(
  rule: ValidationRule,
  schema: Schema,
  place: Place,
  path: string,
  total: { cost: number },
): Issue[] {
  const issues = formFaults(rule, schema, path);
  if (issues.length > 0) return issues;
  let compiled: CompiledRule;
  try {
    compiled = compileRule(rule, selfType(schema, place.root));
  } catch (error) {
    if (!(error instanceof RuleFault)) throw error;
    const value = rule[error.member];
    return [{ type: 'Invalid', path: `${path}.${error.member}`, value, detail: error.message }];
  }
  if (compiled.isTransition && !place.correlates) {
    const detail = 'oldSelf cannot be used on the uncorrelatable portion of the schema';
    return [{ type: 'Invalid', path: `${path}.rule`, value: rule.rule, detail }];
  }
  const cost = compiled.cost * (place.count ?? mostInRequest(schema));
  total.cost += cost;
  if (cost <= ruleCostLimit) return [];
  return [
    {
      type: 'Forbidden',
      path: `${path}.rule`,
      detail: costDetail(cost / ruleCostLimit, 'estimated rule cost'),
    },
  ];
}

function costDetail(factor: number, what: string): string {
  const shown = factor > 100 ? 'more than 100x' : `${Math.max(1.1, factor).toFixed(1)}x`;
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

function formFaults(rule: ValidationRule, schema: Schema, path: string): Issue[] {
  const issues: Issue[] = [];
  const invalid = (member: string, value: unknown, detail: string): void => {
    issues.push({ type: 'Invalid', path: `${path}.${member}`, value, detail });
  };
  const { message, messageExpression, reason, fieldPath } = rule;
  if (!rule.rule?.trim())
    issues.push({ type: 'Required', path: `${path}.rule`, detail: 'rule is not specified' });
  if (message !== undefined) {
    if (message.trim() === '') invalid('message', message, 'message must be non-empty if specified');
    else if (message.length > maxMessage)
      invalid(
        'message',
        `${message.slice(0, 10)}...`,
        `message must have a maximum length of ${maxMessage} characters`,
      );
    else if (/[\r\n]/.test(message)) invalid('message', message, 'message must not contain line breaks');
  } else if (/[\r\n]/.test(rule.rule?.trim() ?? '')) {
    const detail = 'message must be specified if rule contains line breaks';
    issues.push({ type: 'Required', path: `${path}.message`, detail });
  }
  if (messageExpression?.trim() === '') {
    const detail = 'messageExpression must be non-empty if specified';
    issues.push({ type: 'Required', path: `${path}.messageExpression`, detail });
  }
  if (reason !== undefined && !Object.hasOwn(reasons, reason)) {
    const supported = Object.keys(reasons)
      .map((word) => JSON.stringify(word))
      .join(', ');
    const detail = `supported values: ${supported}`;
    issues.push({ type: 'NotSupported', path: `${path}.reason`, value: reason, detail });
  }
  if (fieldPath !== undefined && !fieldPathParts(fieldPath, schema)) {
    invalid(
      'fieldPath',
      fieldPath,
      'fieldPath must be a valid path: it must name a field of the schema, like .spec.name',
    );
  }
  return issues;
}

/** `.a['b.c'].d` to members of the schema; undefined when it leads nowhere. */
function fieldPathParts(text: string, schema: Schema): string[] | undefined {
  const parts: string[] = [];
  let here: Schema | undefined = schema;
  let rest = text;
  while (rest !== '') {
    const match = /^(?:\.([A-Za-z_][\w-]*)|\['((?:[^'\\]|\\.)*)'\])/.exec(rest);
    if (!match) return undefined;
    const name = match[1] ?? (match[2] ?? '').replace(/\\(.)/g, '$1');
    const now: Schema = here;
    const { properties, additionalProperties } = now;
    here = properties && Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (!here) return undefined;
    parts.push(name);
    rest = rest.slice(match[0].length);
  }
  return parts.length > 0 ? parts : undefined;
}

// ---- rules at work -----------------------------------------------------------------------------------------------

/** The rules at a place and below; nothing where there are none. */
interface RuleTree {
  readonly schema: Schema;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleTree>;
  readonly values: RuleTree | undefined;
  readonly items: RuleTree | undefined;
}

/** The rules of a schema that has passed {@link ruleFaults}; undefined where it has none. */
export function compileRules(raw: RawSchema): RuleValidator | undefined {
  const tree = makeTree(objectSchema(raw), true);
  return tree && ((object, old) => new RuleRun().check(tree, object, old));
}

function makeTree(schema: Schema, root: boolean): RuleTree | undefined {
  const type = selfType(schema, root);
  const rules = (schema['x-kubernetes-validations'] ?? []).flatMap((rule) => {
    try {
      return [compileRule(rule, type)];
    } catch (error) {
      // Accepted by an earlier release, or restored: what cannot be judged must not stop every write.
      if (error instanceof RuleFault) return [];
      throw error;
    }
  });
  const properties = new Map<string, RuleTree>();
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const tree = makeTree(child, false);
    if (tree) properties.set(name, tree);
  }
  const values = schema.additionalProperties && makeTree(schema.additionalProperties, false);
  const items = schema.items && makeTree(schema.items, false);
  if (rules.length === 0 && properties.size === 0 && !values && !items) return undefined;
  return { schema, rules, properties, values, items };
}

class RuleRun {
  readonly #issues: Issue[] = [];
  readonly #data = new Data();
  #left = objectBudget;
  #stopped = false;

  check(tree: RuleTree, object: UntypedObject, old: UntypedObject | undefined): Issue[] {
    this.#visit(tree, object, old, '');
    return this.#issues;
  }

  /** `old` is undefined where there was nothing, or nothing that can be told to be the same. */
  #visit(tree: RuleTree, value: unknown, old: unknown, path: string): void {
    if (value === undefined || value === null || this.#stopped) return;
    const same = old !== undefined && tree.rules.length > 0 && deepEqual(value, old);
    for (const rule of tree.rules) {
      // What was accepted before and has not changed is not judged again.
      if (same && !rule.isTransition) continue;
      if (rule.isTransition && old === undefined && !rule.rule.optionalOldSelf) continue;
      this.#run(rule, tree.schema, value, old ?? undefined, path);
      if (this.#stopped) return;
    }
    if (Array.isArray(value)) this.#visitItems(tree, value, old, path);
    else if (isMembers(value)) this.#visitMembers(tree, value, old, path);
  }

  #visitMembers(tree: RuleTree, value: Readonly<Record<string, unknown>>, old: unknown, path: string): void {
    const before = isMembers(old) ? old : undefined;
    for (const [name, child] of tree.properties) {
      if (!Object.hasOwn(value, name)) continue;
      this.#visit(child, value[name], before?.[name], path === '' ? name : `${path}.${name}`);
    }
    if (!tree.values) return;
    for (const [name, member] of Object.entries(value)) {
      this.#visit(tree.values, member, before?.[name], `${path}[${name}]`);
    }
  }

  #visitItems(tree: RuleTree, value: readonly unknown[], old: unknown, path: string): void {
    const { items, schema } = tree;
    if (!items) return;
    const keys =
      schema['x-kubernetes-list-type'] === 'map' ? schema['x-kubernetes-list-map-keys'] : undefined;
    const before = new Map<string, unknown>();
    if (keys && Array.isArray(old)) for (const item of old) before.set(keyText(keys, item), item);
    value.forEach((item, i) => {
      this.#visit(items, item, keys && before.get(keyText(keys, item)), `${path}[${i}]`);
    });
  }

  #run(rule: CompiledRule, schema: Schema, self: unknown, old: unknown, path: string): void {
    const budget = new Budget(Math.min(ruleBudget, this.#left));
    const given = budget.left;
    try {
      if (!rule.holds(self, old, this.#data, budget)) {
        const computed = rule.message(self, old, this.#data, budget);
        this.#report(rule, schema, self, path, computed ?? messageOf(rule.rule));
      }
    } catch (error) {
      this.#failed(rule, schema, self, path, error, given < ruleBudget);
    } finally {
      this.#left -= given - Math.max(0, budget.left);
    }
  }

  /** `isLast`: what was left for the object was less than what one rule may spend. */
  #failed(
    rule: CompiledRule,
    schema: Schema,
    self: unknown,
    path: string,
    error: unknown,
    isLast: boolean,
  ): void {
    const words = rule.rule.message ?? rule.rule.rule;
    if (error instanceof BudgetError) {
      this.#stopped = true;
      const detail = isLast
        ? 'validation failed due to running out of cost budget, no further validation rules will be run'
        : `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${words}`;
      this.#report(rule, schema, self, path, detail);
      return;
    }
    if (!(error instanceof CelEvaluationError)) throw error;
    this.#report(rule, schema, self, path, `${error.message} evaluating rule: ${words}`);
  }

  #report({ rule }: CompiledRule, schema: Schema, self: unknown, path: string, detail: string): void {
    const parts = rule.fieldPath === undefined ? [] : (fieldPathParts(rule.fieldPath, schema) ?? []);
    const at = parts.reduce((before, name) => (before === '' ? name : `${before}.${name}`), path);
    const type = reasons[rule.reason ?? 'FieldValueInvalid'] ?? 'Invalid';
    const value = type === 'Duplicate' ? self : (schema.type ?? 'object');
    this.#issues.push({ type, path: at, value, detail });
  }
}

function messageOf(rule: ValidationRule): string {
  return rule.message ?? `failed rule: ${rule.rule}`;
}

function keyText(keys: readonly string[], item: unknown): string {
  return JSON.stringify(keys.map((key) => (isMembers(item) ? (item[key] ?? null) : null)));
}
