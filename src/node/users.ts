/** Which user a container runs as: what the pod says, else what the image says, by number or by name. */
import { readFileSync, statSync } from 'node:fs';
import type { Container, Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import type { ContainerUser } from './drivers/driver.ts';
import { resolveInside } from './safe-path.ts';

/** No account file of a sane image is larger, bytes. */
const maxAccountFile = 1 << 20;

/** Rows of /etc/passwd or /etc/group of the image. */
function rows(rootfs: string, file: string): string[][] {
  const path = resolveInside(rootfs, file);
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile() || found.size > maxAccountFile) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}

/** Undefined when neither pod nor image names a user. Throws NODE_CONTAINER_CONFIG. */
export function resolveUser(
  pod: Pod,
  container: Container,
  imageUser: string | undefined,
  rootfs: string,
): ContainerUser | undefined {
  const podContext = pod.spec?.securityContext ?? {};
  const context = container.securityContext ?? {};
  const groups = [...(podContext.supplementalGroups ?? [])];
  if (podContext.fsGroup !== undefined) groups.push(podContext.fsGroup);
  let uid = context.runAsUser ?? podContext.runAsUser;
  let gid = context.runAsGroup ?? podContext.runAsGroup;
  const [userPart = '', groupPart = ''] = (imageUser ?? '').split(':');
  const named = uid !== undefined || userPart !== '';
  if (uid === undefined && userPart !== '') {
    const row = rows(rootfs, '/etc/passwd').find(
      (r) => r[0] === userPart || (isNumber(userPart) && r[2] === userPart),
    );
    if (!row && !isNumber(userPart)) {
      throw new KnapsackError(
        'NODE_CONTAINER_CONFIG',
        `unable to find user ${userPart}: no matching entries in passwd file`,
      );
    }
    uid = Number(row?.[2] ?? userPart);
    gid ??= groupPart === '' ? Number(row?.[3] ?? 0) : groupNumber(rootfs, groupPart);
  } else if (uid !== undefined && gid === undefined) {
    gid = Number(rows(rootfs, '/etc/passwd').find((r) => r[2] === String(uid))?.[3] ?? 0);
  }
  if ((context.runAsNonRoot ?? podContext.runAsNonRoot) && (uid ?? 0) === 0) {
    const why = named
      ? 'container has runAsNonRoot and runs as root'
      : 'container has runAsNonRoot and image will run as root';
    throw new KnapsackError(
      'NODE_CONTAINER_CONFIG',
      `${why} (pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`,
    );
  }
  if (!named && gid === undefined && groups.length === 0) return undefined;
  const primary = gid ?? 0;
  const merged = podContext.supplementalGroupsPolicy === 'Strict' ? [] : imageGroups(rootfs, uid ?? 0);
  return { uid: uid ?? 0, gid: primary, groups: [...new Set([primary, ...merged, ...groups])] };
}

/** Groups of the image that name the user as a member (`supplementalGroupsPolicy: Merge`). */
function imageGroups(rootfs: string, uid: number): number[] {
  const name = rows(rootfs, '/etc/passwd').find((r) => r[2] === String(uid))?.[0];
  if (name === undefined) return [];
  return rows(rootfs, '/etc/group')
    .filter((r) => (r[3] ?? '').split(',').includes(name) && isNumber(r[2] ?? ''))
    .map((r) => Number(r[2]));
}

function groupNumber(rootfs: string, group: string): number {
  if (isNumber(group)) return Number(group);
  const row = rows(rootfs, '/etc/group').find((r) => r[0] === group);
  if (!row) {
    throw new KnapsackError(
      'NODE_CONTAINER_CONFIG',
      `unable to find group ${group}: no matching entries in group file`,
    );
  }
  return Number(row[2]);
}
