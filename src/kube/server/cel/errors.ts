/** What can be wrong with an expression: before it runs, and while it runs. */

/** The text is no CEL, or does not fit the types of its variables. `message` is worded as cel-go words it. */
export class CelCompileError extends Error {
  override name = 'CelCompileError';
}

/** The expression failed on this input: a missing key, an overflow, its budget. */
export class CelEvaluationError extends Error {
  override name = 'CelEvaluationError';
}

/** A part of a rule that does not compile. */
export class RuleFault extends Error {
  readonly member: 'rule' | 'messageExpression' | 'optionalOldSelf';
  constructor(member: RuleFault['member'], message: string) {
    super(message);
    this.member = member;
  }
}

/** The units of a whole evaluation are spent: no more expressions are run. */
export class OutOfBudget extends Error {
  override name = 'OutOfBudget';
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run');
  }
}
