/** Faults of labels and annotations inside a spec (apimachinery `api/validation`). The server looks at ObjectMeta itself. */
import type { Issue } from '../resource.ts';
import { labelKeyFault, labelValueFault } from './names.ts';

const maxAnnotationBytes = 256 * 1024;

/** Faults of labels, as in metadata and in pod templates. */
export function labelIssues(labels: { readonly [key: string]: string } | undefined, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyFault = labelKeyFault(key);
    if (keyFault) issues.push({ type: 'Invalid', path, value: key, detail: keyFault });
    const valueFault = labelValueFault(value);
    if (valueFault) issues.push({ type: 'Invalid', path, value, detail: valueFault });
  }
  return issues;
}

export function annotationIssues(
  annotations: { readonly [key: string]: string } | undefined,
  path: string,
): Issue[] {
  const issues: Issue[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    const fault = labelKeyFault(key.toLowerCase());
    if (fault) issues.push({ type: 'Invalid', path, value: key, detail: fault });
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > maxAnnotationBytes) {
    issues.push({ type: 'TooLong', path, detail: `may not be more than ${maxAnnotationBytes} bytes` });
  }
  return issues;
}
