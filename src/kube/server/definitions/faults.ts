/** Faults of a definition, collected in the types of Kubernetes' field errors. */
import type { Issue } from '../../../api/resource.ts';

export class Faults {
  readonly issues: Issue[] = [];
  /** Of the programs of all patterns so far, instructions. */
  patternSize = 0;

  invalid(path: string, value: unknown, detail: string): void {
    this.issues.push({ type: 'Invalid', path, value, detail });
  }
  required(path: string, detail: string): void {
    this.issues.push({ type: 'Required', path, detail });
  }
  forbidden(path: string, detail: string): void {
    this.issues.push({ type: 'Forbidden', path, detail });
  }
  supported(path: string, value: unknown, allowed: readonly string[]): void {
    const list = allowed.map((word) => JSON.stringify(word)).join(', ');
    this.issues.push({ type: 'NotSupported', path, value, detail: `supported values: ${list}` });
  }
}
