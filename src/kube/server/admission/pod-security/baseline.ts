/** Pod Security Standards, level baseline: no known ways out of a container (k8s.io/pod-security-admission/policy). Pure. */
import { safeSysctls } from '../../../../api/kubernetes/sysctls.ts';
import type { Pod } from '../../../../api/pods.ts';
import { containersOf, many, quotedList, type Violation } from './violations.ts';

type Spec = NonNullable<Pod['spec']>;

/** Those that container runtimes give by default. */
const usualCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

export function capabilities(spec: Spec): Violation | undefined {
  const offenders: string[] = [];
  const added = new Set<string>();
  for (const { name, securityContext } of containersOf(spec)) {
    const extra = (securityContext?.capabilities?.add ?? []).filter((each) => !usualCapabilities.has(each));
    if (extra.length === 0) continue;
    offenders.push(name);
    for (const each of extra) added.add(each);
  }
  if (offenders.length === 0) return undefined;
  const detail = `${many('container', offenders)} must not include ${quotedList([...added].sort())} in securityContext.capabilities.add`;
  return { reason: 'non-default capabilities', detail };
}

export function hostNamespaces(spec: Spec): Violation | undefined {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name]);
  if (used.length === 0) return undefined;
  return { reason: 'host namespaces', detail: used.map((name) => `${name}=true`).join(', ') };
}

export function hostPathVolumes(spec: Spec): Violation | undefined {
  const names = (spec.volumes ?? []).filter((volume) => volume.hostPath).map(({ name }) => name);
  return names.length > 0 ? { reason: 'hostPath volumes', detail: many('volume', names) } : undefined;
}

export function hostPorts(spec: Spec): Violation | undefined {
  const offenders: string[] = [];
  const used = new Set<number>();
  for (const { name, ports = [] } of containersOf(spec)) {
    const taken = ports.flatMap(({ hostPort }) => (hostPort ? [hostPort] : []));
    if (taken.length === 0) continue;
    offenders.push(name);
    for (const port of taken) used.add(port);
  }
  if (offenders.length === 0) return undefined;
  const verb = offenders.length === 1 ? 'uses' : 'use';
  const list = [...used].sort((a, b) => a - b).join(', ');
  const what = used.size === 1 ? 'hostPort' : 'hostPorts';
  return { reason: 'hostPort', detail: `${many('container', offenders)} ${verb} ${what} ${list}` };
}

export function privileged(spec: Spec): Violation | undefined {
  const offenders = containersOf(spec)
    .filter(({ securityContext }) => securityContext?.privileged)
    .map(({ name }) => name);
  if (offenders.length === 0) return undefined;
  const detail = `${many('container', offenders)} must not set securityContext.privileged=true`;
  return { reason: 'privileged', detail };
}

export function procMount(spec: Spec): Violation | undefined {
  const offenders: string[] = [];
  const types = new Set<string>();
  for (const { name, securityContext } of containersOf(spec)) {
    const type = securityContext?.procMount;
    if (type === undefined || type === 'Default') continue;
    offenders.push(name);
    types.add(type);
  }
  if (offenders.length === 0) return undefined;
  const detail = `${many('container', offenders)} must not set securityContext.procMount to ${quotedList([...types].sort())}`;
  return { reason: 'procMount', detail };
}

/** `pod` and the containers for whose security context `isBad` is true, as Kubernetes lists them. */
export function setters(
  spec: Spec,
  isBad: (context: NonNullable<Spec['securityContext'] | Context>) => boolean,
): string {
  const offenders = containersOf(spec)
    .filter(({ securityContext }) => securityContext && isBad(securityContext))
    .map(({ name }) => name);
  return [
    ...(spec.securityContext && isBad(spec.securityContext) ? ['pod'] : []),
    ...(offenders.length > 0 ? [many('container', offenders)] : []),
  ].join(' and ');
}

type Context = NonNullable<Spec['containers'][number]['securityContext']>;

const seLinuxTypes = new Set([
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
]);

export function seLinuxOptions(spec: Spec): Violation | undefined {
  const faults = new Set<string>();
  const who = setters(spec, ({ seLinuxOptions: options }) => {
    const found = [
      ...(options?.type !== undefined && !seLinuxTypes.has(options.type)
        ? [`type ${JSON.stringify(options.type)}`]
        : []),
      ...(options?.user ? ['user may not be set'] : []),
      ...(options?.role ? ['role may not be set'] : []),
    ];
    for (const fault of found) faults.add(fault);
    return found.length > 0;
  });
  if (!who) return undefined;
  const detail = `${who} set forbidden securityContext.seLinuxOptions: ${[...faults].join('; ')}`;
  return { reason: 'seLinuxOptions', detail };
}

export function seccompProfile(spec: Spec): Violation | undefined {
  const who = setters(spec, ({ seccompProfile: profile }) => profile?.type === 'Unconfined');
  if (!who) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `${who} must not set securityContext.seccompProfile.type to "Unconfined"`,
  };
}

const appArmorAnnotation = 'container.apparmor.security.beta.kubernetes.io/';

export function appArmorProfile(
  spec: Spec,
  annotations: Readonly<Record<string, string>>,
): Violation | undefined {
  const types = new Set<string>();
  const who = setters(spec, ({ appArmorProfile: profile }) => {
    const isBad = profile !== undefined && !['RuntimeDefault', 'Localhost'].includes(profile.type);
    if (isBad) types.add(profile.type);
    return isBad;
  });
  const noted = Object.entries(annotations)
    .filter(([key]) => key.startsWith(appArmorAnnotation))
    .filter(([, value]) => value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  const details = [
    ...(who
      ? [`${who} must not set securityContext.appArmorProfile.type to ${quotedList([...types].sort())}`]
      : []),
    ...(noted.length > 0 ? [`annotation${noted.length === 1 ? '' : 's'} ${noted.join(', ')}`] : []),
  ];
  if (details.length === 0) return undefined;
  return {
    reason: `forbidden AppArmor profile${types.size + noted.length === 1 ? '' : 's'}`,
    detail: details.join('; '),
  };
}

export function sysctls(spec: Spec): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? [])
    .map(({ name }) => name)
    .filter((name) => !safeSysctls.has(name));
  return names.length > 0 ? { reason: 'forbidden sysctls', detail: names.join(', ') } : undefined;
}

export function windowsHostProcess(spec: Spec): Violation | undefined {
  const who = setters(spec, ({ windowsOptions }) => windowsOptions?.hostProcess === true);
  if (!who) return undefined;
  return {
    reason: 'hostProcess',
    detail: `${who} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}
