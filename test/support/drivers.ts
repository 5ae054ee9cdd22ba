import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** True when a program can be found on PATH. */
export function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why containers cannot be tested here, or undefined when they can. */
export function ociSkipReason(): string | undefined {
  if (process.platform !== 'linux') return 'the oci driver needs Linux';
  if (process.getuid?.() !== 0) return 'the oci driver is tested as root';
  if (!hasProgram('crun') && !hasProgram('runc')) return 'neither crun nor runc is installed';
  if (!hasProgram('ip')) return 'ip (iproute2) is not installed';
  return undefined;
}

/** Why the tests with real kubectl cannot run here, or undefined when they can. */
export function kubectlSkipReason(): string | undefined {
  return hasProgram('kubectl') ? undefined : 'kubectl is not installed (Debian: kubernetes-client)';
}
