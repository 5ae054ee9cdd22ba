/** Pod Security Standards, level restricted: what hardened pods do (k8s.io/pod-security-admission/policy). Pure. */
import type { Pod } from '../../../../api/pods.ts';
import { setters } from './baseline.ts';
import { containersOf, many, quotedList, type Violation } from './violations.ts';

type Spec = NonNullable<Pod['spec']>;

export function allowPrivilegeEscalation(spec: Spec): Violation | undefined {
  const offenders = containersOf(spec)
    .filter(({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false)
    .map(({ name }) => name);
  if (offenders.length === 0) return undefined;
  const detail = `${many('container', offenders)} must set securityContext.allowPrivilegeEscalation=false`;
  return { reason: 'allowPrivilegeEscalation != false', detail };
}

export function capabilities(spec: Spec): Violation | undefined {
  const keeping: string[] = [];
  const adding: string[] = [];
  const added = new Set<string>();
  for (const { name, securityContext } of containersOf(spec)) {
    const { add = [], drop = [] } = securityContext?.capabilities ?? {};
    if (!drop.includes('ALL')) keeping.push(name);
    const extra = add.filter((each) => each !== 'NET_BIND_SERVICE');
    if (extra.length > 0) adding.push(name);
    for (const each of extra) added.add(each);
  }
  const details = [
    ...(keeping.length > 0
      ? [`${many('container', keeping)} must set securityContext.capabilities.drop=["ALL"]`]
      : []),
    ...(adding.length > 0
      ? [
          `${many('container', adding)} must not include ${quotedList([...added].sort())} in securityContext.capabilities.add`,
        ]
      : []),
  ];
  return details.length > 0 ? { reason: 'unrestricted capabilities', detail: details.join('; ') } : undefined;
}

const plainVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

export function volumeTypes(spec: Spec): Violation | undefined {
  const names: string[] = [];
  const types = new Set<string>();
  for (const volume of spec.volumes ?? []) {
    const type = Object.keys(volume).find((key) => key !== 'name' && !plainVolumes.has(key));
    if (type === undefined) continue;
    names.push(volume.name);
    types.add(type);
  }
  if (names.length === 0) return undefined;
  const verb = names.length === 1 ? 'uses' : 'use';
  const what = `restricted volume type${types.size === 1 ? '' : 's'}`;
  const detail = `${many('volume', names)} ${verb} ${what} ${quotedList([...types].sort())}`;
  return { reason: 'restricted volume types', detail };
}

export function runAsNonRoot(spec: Spec): Violation | undefined {
  const reason = 'runAsNonRoot != true';
  const who = setters(spec, (context) => context.runAsNonRoot === false);
  if (who) return { reason, detail: `${who} must not set securityContext.runAsNonRoot=false` };
  if (spec.securityContext?.runAsNonRoot) return undefined;
  const silent = containersOf(spec).filter(
    ({ securityContext }) => securityContext?.runAsNonRoot === undefined,
  );
  if (silent.length === 0) return undefined;
  const names = silent.map(({ name }) => name);
  return { reason, detail: `pod or ${many('container', names)} must set securityContext.runAsNonRoot=true` };
}

export function runAsUser(spec: Spec): Violation | undefined {
  const who = setters(spec, (context) => context.runAsUser === 0);
  return who ? { reason: 'runAsUser=0', detail: `${who} must not set runAsUser=0` } : undefined;
}

export function seccompProfile(spec: Spec): Violation | undefined {
  const reason = 'seccompProfile';
  const good = ['RuntimeDefault', 'Localhost'];
  const bad = new Set<string>();
  const who = setters(spec, ({ seccompProfile: profile }) => {
    const isBad = profile !== undefined && !good.includes(profile.type);
    if (isBad) bad.add(profile.type);
    return isBad;
  });
  if (who) {
    const detail = `${who} must not set securityContext.seccompProfile.type to ${quotedList([...bad].sort())}`;
    return { reason, detail };
  }
  if (spec.securityContext?.seccompProfile) return undefined;
  const silent = containersOf(spec).filter(({ securityContext }) => !securityContext?.seccompProfile);
  if (silent.length === 0) return undefined;
  const names = silent.map(({ name }) => name);
  return {
    reason,
    detail: `pod or ${many('container', names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}
