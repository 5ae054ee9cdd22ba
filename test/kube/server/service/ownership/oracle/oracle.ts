/** Kubernetes' own structured-merge-diff as a judge: a small Go program, built where Go and the package are installed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasProgram } from '../../../../../support/drivers.ts';
import type { FieldSet } from '../../../../../../src/kube/server/service/ownership/field-set.ts';

export interface OracleEntry {
  readonly applied: boolean;
  readonly set: FieldSet;
}

export interface OracleRequest {
  readonly live: unknown;
  readonly object: unknown;
  readonly managers: Readonly<Record<string, OracleEntry>>;
  readonly manager: string;
  readonly apply: boolean;
  readonly force: boolean;
}

export interface OracleAnswer {
  readonly object?: unknown;
  /** Null beside conflicts and errors. */
  readonly managers: Readonly<Record<string, OracleEntry>> | null;
  readonly conflicts?: readonly string[];
  readonly error?: string;
}

/** Where Debian puts sources of Go packages. */
const gopath = '/usr/share/gocode';
/** Debian's Go first: the newest elsewhere may not build without modules. */
const compiler = ['/usr/lib/go/bin/go', '/usr/bin/go'].find((path) => existsSync(path)) ?? 'go';

/** Why there is no judge on this machine, or undefined. */
export function oracleMissing(): string | undefined {
  if (!existsSync(`${gopath}/src/sigs.k8s.io/structured-merge-diff/merge`)) {
    return 'needs the Debian package golang-k8s-sigs-structured-merge-diff-dev';
  }
  return hasProgram(compiler) || existsSync(compiler) ? undefined : 'needs Go (Debian package golang-go)';
}

/** Answers in the order of the requests. Throws when the program cannot be built. */
export function askOracle(schema: string, requests: readonly OracleRequest[]): OracleAnswer[] {
  const directory = mkdtempSync(join(tmpdir(), 'knapsack-oracle-'));
  try {
    const program = join(directory, 'oracle');
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: gopath, GOFLAGS: '' };
    execFileSync(compiler, ['build', '-o', program, join(import.meta.dirname, 'main.go')], { env });
    const input = [{ schema }, ...requests].map((line) => `${JSON.stringify(line)}\n`).join('');
    const output = execFileSync(program, { input, maxBuffer: 1 << 30 }).toString();
    return output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as OracleAnswer);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
