/** Expressions of admission: the variables that they know, and what running them may cost. */
import type { User } from '../authentication/user.ts';
import { namespaceType, requestType } from './admission-types.ts';
import { compile, type Program } from './compile.ts';
import { CelCompileError, CelEvaluationError, OutOfBudget } from './errors.ts';
import {
  authorizerType,
  authorizerValue,
  requestResourceValue,
  resourceCheckType,
  type AccessSource,
  type RequestResource,
} from './functions/authorizer.ts';
import { Budget, BudgetError } from './functions/signature.ts';
import { dyn, formatType, type CelType, type FieldType } from './types.ts';
import { Data, Struct } from './values.ts';

/** Which variables an expression may speak of. */
export interface AdmissionEnvironment {
  /** Also declares `authorizer` and `authorizer.requestResource`. */
  readonly hasAuthorizer: boolean;
  readonly hasParams: boolean;
  /** Declares `variables`, by name in the order in which they may speak of each other. */
  readonly variables?: ReadonlyMap<string, CelType>;
  /** Types of `object`, `oldObject` and `params`. Default: nothing is known of them. */
  readonly objectType?: CelType;
  readonly paramsType?: CelType;
}

/** What the variables stand for. All but `access` is plain JSON. */
export interface AdmissionInput {
  /** The object after the change; null on DELETE. */
  readonly object: unknown;
  /** The object before the change; null on CREATE. */
  readonly oldObject: unknown;
  /** The AdmissionRequest (admission.k8s.io/v1) without its `object` and `oldObject`. */
  readonly request: unknown;
  /** Null for what is in no namespace. */
  readonly namespaceObject?: unknown;
  readonly params?: unknown;
  /** Where there is nobody to ask, `authorizer` fails when it is used. */
  readonly access?:
    | {
        readonly source: AccessSource;
        readonly user: User;
        readonly resource: RequestResource;
      }
    | undefined;
}

export type ReturnType = 'bool' | 'string' | 'null';

export interface AdmissionExpression {
  readonly text: string;
  readonly type: CelType;
  readonly program: Program;
}

/** Every program is compiled with all slots, so that one set of values serves all. */
const slots = [
  'object',
  'oldObject',
  'request',
  'namespaceObject',
  'params',
  'authorizer',
  'authorizer.requestResource',
  'variables',
] as const;

/** No name of an expression: what stands in a slot that is not declared cannot be spoken of. */
const undeclared = (slot: string): string => ` ${slot}`;

function declarations(environment: AdmissionEnvironment): readonly (readonly [string, CelType])[] {
  const { hasAuthorizer, hasParams, variables, objectType = dyn, paramsType = dyn } = environment;
  const types: Readonly<Record<(typeof slots)[number], CelType | undefined>> = {
    object: objectType,
    oldObject: objectType,
    request: requestType,
    namespaceObject: namespaceType,
    params: hasParams ? paramsType : undefined,
    authorizer: hasAuthorizer ? authorizerType : undefined,
    'authorizer.requestResource': hasAuthorizer ? resourceCheckType : undefined,
    variables: variables ? variablesType(variables) : undefined,
  };
  return slots.map((slot) => [types[slot] ? slot : undeclared(slot), types[slot] ?? dyn] as const);
}

function variablesType(variables: ReadonlyMap<string, CelType>): Extract<CelType, { kind: 'object' }> {
  const fields = new Map<string, FieldType>();
  for (const [name, type] of variables) fields.set(name, { property: name, type });
  return { kind: 'object', name: 'kubernetes.variables', fields };
}

/** Throws {@link CelCompileError}, also when the result may be of no type in `returns` (empty: of any). */
export function compileAdmission(
  text: string,
  environment: AdmissionEnvironment,
  returns: readonly ReturnType[],
): AdmissionExpression {
  let program: Program;
  try {
    program = compile(text, declarations(environment));
  } catch (error) {
    if (error instanceof CelCompileError)
      throw new CelCompileError(`compilation failed: ${error.message}`, { cause: error });
    throw error;
  }
  const { type } = program;
  if (returns.length > 0 && !returns.some((kind) => kind === type.kind)) {
    const words = returns.map((kind) => (kind === 'null' ? 'null_type' : kind));
    const wanted = words.length === 1 ? words.join('') : `one of [${words.join(' ')}]`;
    throw new CelCompileError(`must evaluate to ${wanted} but got ${formatType(type)}`);
  }
  return { text, type, program };
}

/** Units that one expression may spend; as kube-apiserver. */
const perCallLimit = 1_000_000;

/** Several expressions over one request, within one budget. Composed variables are computed when first looked at. */
export class AdmissionEvaluation {
  readonly #values: unknown[];
  #left: number;

  constructor(
    input: AdmissionInput,
    units: number,
    variables: ReadonlyMap<string, AdmissionExpression> = new Map(),
  ) {
    const data = new Data();
    const { access } = input;
    this.#left = units;
    this.#values = [
      data.convert(input.object, dyn),
      data.convert(input.oldObject, dyn),
      data.convert(input.request, requestType),
      data.convert(input.namespaceObject, namespaceType),
      data.convert(input.params, dyn),
      access ? authorizerValue(access.source, access.user) : null,
      access ? requestResourceValue(access.source, access.user, access.resource) : null,
      new Variables(variables, data, (expression) => this.#spend(expression)),
    ];
  }

  /** Units that are left. */
  get left(): number {
    return this.#left;
  }

  /** Throws {@link CelEvaluationError}, worded for the client, and {@link OutOfBudget}. */
  run(expression: AdmissionExpression): unknown {
    try {
      return this.#spend(expression);
    } catch (error) {
      if (!(error instanceof CelEvaluationError)) throw error;
      throw new CelEvaluationError(`expression '${expression.text}' resulted in error: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** What the expression gives, or how it fails, after its cost has been counted. */
  #spend({ program }: AdmissionExpression): unknown {
    const budget = new Budget(perCallLimit);
    let outcome: () => unknown;
    try {
      const value = program.run(this.#values, budget);
      outcome = () => value;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    }
    this.#left -= perCallLimit - Math.max(budget.left, 0);
    if (this.#left < 0) throw new OutOfBudget();
    return outcome();
  }
}

/** The value of `variables`. */
class Variables extends Struct {
  readonly #expressions: ReadonlyMap<string, AdmissionExpression>;
  readonly #compute: (expression: AdmissionExpression) => unknown;
  readonly #known = new Map<string, unknown>();

  constructor(
    expressions: ReadonlyMap<string, AdmissionExpression>,
    data: Data,
    compute: (expression: AdmissionExpression) => unknown,
  ) {
    super(variablesType(new Map([...expressions].map(([name, { type }]) => [name, type]))), {}, data);
    this.#expressions = expressions;
    this.#compute = compute;
  }

  override get(name: string): unknown {
    if (this.#known.has(name)) return this.#known.get(name);
    const expression = this.#expressions.get(name);
    if (!expression) return undefined;
    let value: unknown;
    try {
      value = this.#compute(expression);
    } catch (error) {
      if (!(error instanceof CelEvaluationError) || error instanceof BudgetError) throw error;
      throw new CelEvaluationError(
        `composited variable ${JSON.stringify(name)} fails to evaluate: ${error.message}`,
        { cause: error },
      );
    }
    this.#known.set(name, value);
    return value;
  }
}
