/** Which options of a list or a watch go together (apimachinery pkg/apis/meta/internalversion/validation). */
import { ApiError, type StatusCause } from '../api-error.ts';

type Fault = StatusCause & { readonly field: string; readonly message: string };

/** Throws 422 on combinations that kube-apiserver refuses of a list. */
export function checkListOptions(query: URLSearchParams): void {
  const match = query.get('resourceVersionMatch');
  const version = query.get('resourceVersion');
  const faults: Fault[] = [];
  if (match) {
    if (!version) {
      faults.push(
        forbidden(
          'resourceVersionMatch',
          'resourceVersionMatch is forbidden unless resourceVersion is provided',
        ),
      );
    }
    if (query.get('continue')) faults.push(withContinue());
    if (match !== 'Exact' && match !== 'NotOlderThan')
      faults.push(unsupported(match, ['Exact', 'NotOlderThan', '']));
    if (match === 'Exact' && version === '0') {
      faults.push(
        forbidden(
          'resourceVersionMatch',
          'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
      );
    }
  }
  if (query.has('sendInitialEvents')) {
    faults.push(forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
  refuse(faults);
}

/** The same for a watch. */
export function checkWatchOptions(query: URLSearchParams): void {
  const match = query.get('resourceVersionMatch');
  const initial = query.has('sendInitialEvents');
  const faults: Fault[] = [];
  if (initial && match !== 'NotOlderThan') {
    faults.push(
      forbidden(
        'resourceVersionMatch',
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    );
  }
  if (match) {
    if (!initial) {
      faults.push(
        forbidden(
          'resourceVersionMatch',
          'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
        ),
      );
    }
    if (match !== 'NotOlderThan') faults.push(unsupported(match, ['NotOlderThan']));
    if (query.get('continue')) faults.push(withContinue());
  }
  refuse(faults);
}

function forbidden(field: string, why: string): Fault {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` };
}

function withContinue(): Fault {
  return forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
}

function unsupported(value: string, allowed: readonly string[]): Fault {
  const list = allowed.map((word) => JSON.stringify(word)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: 'FieldValueNotSupported', field: 'resourceVersionMatch', message };
}

function refuse(faults: readonly Fault[]): void {
  if (faults.length === 0) return;
  const lines = faults.map(({ field, message }) => `${field}: ${message}`);
  const text = lines.length === 1 ? lines.join('') : `[${lines.join(', ')}]`;
  throw new ApiError('Invalid', `ListOptions.meta.k8s.io "" is invalid: ${text}`, {
    group: 'meta.k8s.io',
    kind: 'ListOptions',
    causes: faults,
  });
}
