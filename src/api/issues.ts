/** Faults in words, as Kubernetes' `field.Error` says them. */
import type { Issue } from './resource.ts';

const words: Record<Issue['type'], string> = {
  Required: 'Required value',
  Invalid: 'Invalid value',
  NotSupported: 'Unsupported value',
  Duplicate: 'Duplicate value',
  NotFound: 'Not found',
  Forbidden: 'Forbidden',
  TypeInvalid: 'Invalid value',
  TooLong: 'Too long',
  TooMany: 'Too many',
};

const reasons: Record<Issue['type'], string> = {
  Required: 'FieldValueRequired',
  Invalid: 'FieldValueInvalid',
  NotSupported: 'FieldValueNotSupported',
  Duplicate: 'FieldValueDuplicate',
  NotFound: 'FieldValueNotFound',
  Forbidden: 'FieldValueForbidden',
  TypeInvalid: 'FieldValueTypeInvalid',
  TooLong: 'FieldValueTooLong',
  TooMany: 'FieldValueTooMany',
};

const withoutValue = new Set<Issue['type']>(['Required', 'Forbidden', 'TooLong']);

/** `Invalid value: "x": must be …`: the message of a status cause, without the path. */
export function issueMessage(issue: Issue): string {
  const value =
    withoutValue.has(issue.type) || issue.value === undefined ? '' : `: ${JSON.stringify(issue.value)}`;
  return `${words[issue.type]}${value}${issue.detail ? `: ${issue.detail}` : ''}`;
}

/** `spec.replicas: Invalid value: -1: must be …`. */
export function issueText(issue: Issue): string {
  return `${issue.path || '<nil>'}: ${issueMessage(issue)}`;
}

/** The reason of a status cause: `FieldValueRequired`… */
export function issueReason(issue: Issue): string {
  return reasons[issue.type];
}

/** Text of a 422: `Pod "x" is invalid: …`; several faults in brackets, as Kubernetes prints aggregates. */
export function invalidMessage(
  kind: { group: string; kind: string },
  name: string,
  issues: readonly Issue[],
): string {
  const texts = [...new Set(issues.map(issueText))];
  const what = kind.group ? `${kind.kind}.${kind.group}` : kind.kind;
  return `${what} ${JSON.stringify(name)} is invalid: ${texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`}`;
}
