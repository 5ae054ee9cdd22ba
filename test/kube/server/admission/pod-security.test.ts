/** The Pod Security Standards, against the real API. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { deployments, namespaces, pods } from '../../../../src/api/kubernetes/index.ts';
import { podSecurityViolations } from '../../../../src/kube/server/admission/pod-security/index.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { fails, user } from '../../service/support.ts';

const label = 'pod-security.kubernetes.io/';
const hardenedContainer = {
  name: 'app',
  image: 'example.com/app',
  securityContext: {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  },
};
const plainContainer = { name: 'app', image: 'example.com/app' };

describe('pod security standards', () => {
  const violations = (level: 'baseline' | 'restricted', spec: object, annotations = {}): string[] =>
    podSecurityViolations(level, spec as never, annotations).map(
      ({ reason, detail }) => `${reason} (${detail})`,
    );
  const withContext = (securityContext: object): object => ({
    containers: [{ ...plainContainer, securityContext }],
  });
  const hardened = (more: object = {}, container: object = {}): object => ({
    ...more,
    containers: [{ ...hardenedContainer, ...container }],
  });

  it('privileged allows everything', () => {
    assert.deepEqual(podSecurityViolations('privileged', { hostNetwork: true } as never), []);
  });

  it('baseline allows what does nothing special, restricted what is hardened', () => {
    assert.deepEqual(violations('baseline', { containers: [plainContainer] }), []);
    assert.deepEqual(violations('restricted', hardened()), []);
    const byPod = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    const { securityContext } = hardenedContainer;
    const { allowPrivilegeEscalation, capabilities } = securityContext;
    const container = { securityContext: { allowPrivilegeEscalation, capabilities } };
    assert.deepEqual(violations('restricted', hardened({ securityContext: byPod }, container)), []);
  });

  const baselineCases: [object, string][] = [
    [
      { containers: [plainContainer], hostNetwork: true, hostPID: true },
      'host namespaces (hostNetwork=true, hostPID=true)',
    ],
    [
      {
        containers: [plainContainer],
        volumes: [
          { name: 'a', hostPath: { path: '/' } },
          { name: 'b', hostPath: { path: '/' } },
        ],
      },
      'hostPath volumes (volumes "a", "b")',
    ],
    [
      { containers: [{ ...plainContainer, ports: [{ containerPort: 80, hostPort: 8080 }] }] },
      'hostPort (container "app" uses hostPort 8080)',
    ],
    [
      withContext({ privileged: true }),
      'privileged (container "app" must not set securityContext.privileged=true)',
    ],
    [
      {
        containers: [plainContainer],
        initContainers: [{ name: 'i', securityContext: { privileged: true } }],
      },
      'privileged (container "i" must not set securityContext.privileged=true)',
    ],
    [
      withContext({ capabilities: { add: ['NET_ADMIN', 'CHOWN', 'SYS_ADMIN'] } }),
      'non-default capabilities (container "app" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      withContext({ procMount: 'Unmasked' }),
      'procMount (container "app" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      {
        ...withContext({ seLinuxOptions: { role: 'r' } }),
        securityContext: { seLinuxOptions: { type: 'spc_t' } },
      },
      'seLinuxOptions (pod and container "app" set forbidden securityContext.seLinuxOptions: role may not be set; type "spc_t")',
    ],
    [
      { containers: [plainContainer], securityContext: { seccompProfile: { type: 'Unconfined' } } },
      'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      {
        containers: [plainContainer],
        securityContext: { sysctls: [{ name: 'kernel.msgmax' }, { name: 'net.ipv4.tcp_rmem' }] },
      },
      'forbidden sysctls (kernel.msgmax)',
    ],
    [
      withContext({ appArmorProfile: { type: 'Unconfined' } }),
      'forbidden AppArmor profile (container "app" must not set securityContext.appArmorProfile.type to "Unconfined")',
    ],
    [
      withContext({ windowsOptions: { hostProcess: true } }),
      'hostProcess (container "app" must not set securityContext.windowsOptions.hostProcess=true)',
    ],
  ];
  for (const [spec, message] of baselineCases) {
    it(`baseline: ${message}`, () => assert.deepEqual(violations('baseline', spec), [message]));
  }

  it('baseline: AppArmor by annotation', () => {
    const key = 'container.apparmor.security.beta.kubernetes.io/app';
    const of = (value: string): string[] =>
      violations('baseline', { containers: [plainContainer] }, { [key]: value });
    assert.deepEqual(of('runtime/default'), []);
    assert.deepEqual(of('unconfined'), [`forbidden AppArmor profile (annotation ${key}="unconfined")`]);
  });

  const { securityContext: good } = hardenedContainer;
  const restrictedCases: [object, string][] = [
    [
      hardened({}, { securityContext: { ...good, allowPrivilegeEscalation: true } }),
      'allowPrivilegeEscalation != false (container "app" must set securityContext.allowPrivilegeEscalation=false)',
    ],
    [
      hardened({}, { securityContext: { ...good, capabilities: { add: ['CHOWN', 'NET_BIND_SERVICE'] } } }),
      'unrestricted capabilities (container "app" must set securityContext.capabilities.drop=["ALL"]; container "app" must not include "CHOWN" in securityContext.capabilities.add)',
    ],
    [
      hardened({
        volumes: [
          { name: 'v', hostPath: { path: '/' } },
          { name: 'ok', emptyDir: {} },
        ],
      }),
      'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ],
    [
      hardened({ securityContext: { runAsNonRoot: false } }),
      'runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)',
    ],
    [
      hardened({}, { securityContext: { ...good, runAsNonRoot: undefined } }),
      'runAsNonRoot != true (pod or container "app" must set securityContext.runAsNonRoot=true)',
    ],
    [hardened({ securityContext: { runAsUser: 0 } }), 'runAsUser=0 (pod must not set runAsUser=0)'],
    [
      hardened({}, { securityContext: { ...good, seccompProfile: undefined } }),
      'seccompProfile (pod or container "app" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
  ];
  for (const [spec, message] of restrictedCases) {
    it(`restricted: ${message}`, () => assert.deepEqual(violations('restricted', spec), [message]));
  }
});

describe('pod security admission', () => {
  let api: TestApi;
  let last = 0;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  async function namespace(labels: Record<string, string> = {}): Promise<string> {
    const name = `pss-${++last}`;
    const marked = Object.fromEntries(
      Object.entries(labels).map(([key, value]) => [`${label}${key}`, value]),
    );
    await api.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: marked },
    });
    return name;
  }
  const pod = (name: string, container: object = plainContainer): object => ({
    metadata: { name },
    spec: { containers: [container] },
  });
  const notes = new Map<string, string>();
  const annotate = (key: string, value: string): unknown => notes.set(key, value);
  const create = (ns: string, body: object) => {
    notes.clear();
    return api.service.create(pods, ns, body, { user, annotate: (key, value) => void annotate(key, value) });
  };
  const allFaults =
    'allowPrivilegeEscalation != false (container "app" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "app" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "app" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "app" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")';

  it('refuses what the namespace does not allow', async () => {
    const ns = await namespace({ enforce: 'restricted', 'enforce-version': 'v1.30' });
    await fails(
      create(ns, pod('p')),
      403,
      'Forbidden',
      `pods "p" is forbidden: violates PodSecurity "restricted:v1.30": ${allFaults}`,
    );
    assert.equal(notes.get(`${label}enforce-policy`), 'restricted:v1.30');
    await create(ns, pod('hardened', hardenedContainer));
  });

  it('warns and notes where it is told to', async () => {
    const ns = await namespace({ warn: 'restricted', audit: 'baseline' });
    const { warnings } = await create(
      ns,
      pod('p', {
        ...plainContainer,
        securityContext: {
          ...hardenedContainer.securityContext,
          privileged: true,
          allowPrivilegeEscalation: undefined,
        },
      }),
    );
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? '',
      /^would violate PodSecurity "restricted:latest": allowPrivilegeEscalation/,
    );
    assert.match(
      notes.get(`${label}audit-violations`) ?? '',
      /^would violate PodSecurity "baseline:latest": privileged/,
    );
  });

  it('warns about what makes pods, and refuses only the pods', async () => {
    const ns = await namespace({ enforce: 'restricted', warn: 'restricted' });
    const labels = { app: 'd' };
    const template = { metadata: { labels }, spec: { containers: [plainContainer] } };
    const body = { metadata: { name: 'd' }, spec: { selector: { matchLabels: labels }, template } };
    const { warnings } = await api.service.create(deployments, ns, body, { user });
    assert.deepEqual(warnings, [`would violate PodSecurity "restricted:latest": ${allFaults}`]);
  });

  it('leaves updates alone that change nothing about security', async () => {
    const ns = await namespace();
    await create(ns, pod('old'));
    const key = { namespace: ns, name: 'old' };
    const enforce = { metadata: { labels: { [`${label}enforce`]: 'restricted' } } };
    const { warnings } = await api.service.patch(
      namespaces,
      { name: ns },
      { type: 'merge', body: enforce },
      { user },
    );
    assert.deepEqual(warnings, [
      `existing pods in namespace "${ns}" violate the new PodSecurity enforce level "restricted:latest"`,
      'old: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile',
    ]);
    const touch = { metadata: { labels: { a: 'b' } } };
    await api.service.patch(pods, key, { type: 'merge', body: touch }, { user });
    const image = { spec: { containers: [{ ...plainContainer, image: 'example.com/other' }] } };
    await fails(
      api.service.patch(pods, key, { type: 'strategic', body: image }, { user }),
      403,
      'Forbidden',
      /violates PodSecurity "restricted:latest"/,
    );
  });

  it('refuses labels that mean nothing', async () => {
    await fails(
      namespace({ enforce: 'strict' }),
      422,
      'Invalid',
      /metadata\.labels\[pod-security\.kubernetes\.io\/enforce\]: Invalid value: "strict": must be one of privileged, baseline, restricted/,
    );
    await fails(namespace({ 'warn-version': '1.30' }), 422, 'Invalid', /must be "latest" or "v1\.x"/);
  });
});
