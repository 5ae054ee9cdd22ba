import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubernetesTypes } from '../../../src/api/generated/kubernetes-types.ts';
import type { Pod } from '../../../src/api/pods.ts';
import { pods } from '../../../src/api/kubernetes/pods.ts';
import { now } from './support.ts';

type Container = KubernetesTypes['core.v1.Container'];
type ContainerStatus = KubernetesTypes['core.v1.ContainerStatus'];

const app: Container = { name: 'app', image: 'example.com/app:1' };

describe('the row of a pod', () => {
  const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
  const status = (name: string, more: Partial<ContainerStatus>): ContainerStatus => ({
    name,
    image: '',
    imageID: '',
    ready: false,
    restartCount: 0,
    ...more,
  });
  const running = status('app', { ready: true, state: { running: {} } });
  interface Given {
    status?: Pod['status'];
    initContainers?: Container[];
    going?: boolean;
    containers?: Container[];
  }
  function row({ status: podStatus, initContainers, going, containers = [app] }: Given): string {
    const object: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', creationTimestamp: ago(90), ...(going ? { deletionTimestamp: ago(1) } : {}) },
      spec: { containers, ...(initContainers ? { initContainers } : {}) },
      ...(podStatus ? { status: podStatus } : {}),
    };
    return (pods.cells?.(object, now) ?? []).slice(0, 4).join(' | ');
  }
  const init = { name: 'init', image: 'i' };
  const cases: [string, Given, string][] = [
    ['pending', { status: { phase: 'Pending' } }, '0/1 | Pending | 0 | 90s'],
    ['running', { status: { phase: 'Running', containerStatuses: [running] } }, '1/1 | Running | 0 | 90s'],
    [
      'creating',
      {
        status: {
          phase: 'Pending',
          containerStatuses: [status('app', { state: { waiting: { reason: 'ContainerCreating' } } })],
        },
      },
      '0/1 | ContainerCreating | 0 | 90s',
    ],
    [
      'an image that cannot be pulled',
      {
        status: {
          phase: 'Pending',
          containerStatuses: [status('app', { state: { waiting: { reason: 'ErrImagePull' } } })],
        },
      },
      '0/1 | ErrImagePull | 0 | 90s',
    ],
    [
      'crashing',
      {
        status: {
          phase: 'Running',
          containerStatuses: [
            status('app', {
              restartCount: 3,
              state: { waiting: { reason: 'CrashLoopBackOff' } },
              lastState: { terminated: { exitCode: 1, finishedAt: ago(5) } },
            }),
          ],
        },
      },
      '0/1 | CrashLoopBackOff | 3 (5s ago) | 90s',
    ],
    [
      'completed',
      {
        status: {
          phase: 'Succeeded',
          containerStatuses: [status('app', { state: { terminated: { exitCode: 0, reason: 'Completed' } } })],
        },
      },
      '0/1 | Completed | 0 | 90s',
    ],
    [
      'killed without a reason',
      {
        status: {
          phase: 'Failed',
          containerStatuses: [status('app', { state: { terminated: { exitCode: 137, signal: 9 } } })],
        },
      },
      '0/1 | Signal:9 | 0 | 90s',
    ],
    [
      'ended with a code',
      {
        status: {
          phase: 'Failed',
          containerStatuses: [status('app', { state: { terminated: { exitCode: 7 } } })],
        },
      },
      '0/1 | ExitCode:7 | 0 | 90s',
    ],
    [
      'going',
      { going: true, status: { phase: 'Running', containerStatuses: [running] } },
      '1/1 | Terminating | 0 | 90s',
    ],
    ['ended and going', { going: true, status: { phase: 'Succeeded' } }, '0/1 | Succeeded | 0 | 90s'],
    ['evicted', { status: { phase: 'Failed', reason: 'Evicted' } }, '0/1 | Evicted | 0 | 90s'],
    [
      'initializing',
      {
        initContainers: [init, { ...init, name: 'second' }],
        status: {
          phase: 'Pending',
          initContainerStatuses: [
            status('init', { state: { terminated: { exitCode: 0 } } }),
            status('second', { state: { running: {} } }),
          ],
        },
      },
      '0/1 | Init:1/2 | 0 | 90s',
    ],
    [
      'failing to initialize',
      {
        initContainers: [init],
        status: {
          phase: 'Pending',
          initContainerStatuses: [
            status('init', { restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } } }),
          ],
        },
      },
      '0/1 | Init:CrashLoopBackOff | 2 | 90s',
    ],
    [
      'failed to initialize',
      {
        initContainers: [init],
        status: {
          phase: 'Failed',
          initContainerStatuses: [
            status('init', { state: { terminated: { exitCode: 3, reason: 'Error' } } }),
          ],
        },
      },
      '0/1 | Init:Error | 0 | 90s',
    ],
    [
      'initialized, main container not yet started',
      {
        initContainers: [init],
        status: {
          phase: 'Pending',
          initContainerStatuses: [status('init', { state: { terminated: { exitCode: 0 } } })],
          containerStatuses: [status('app', { state: { waiting: { reason: 'PodInitializing' } } })],
        },
      },
      '0/1 | PodInitializing | 0 | 90s',
    ],
    [
      'a sidecar that counts as ready',
      {
        initContainers: [{ ...init, restartPolicy: 'Always' }],
        status: {
          phase: 'Running',
          initContainerStatuses: [status('init', { ready: true, started: true, state: { running: {} } })],
          containerStatuses: [running],
        },
      },
      '2/2 | Running | 0 | 90s',
    ],
    [
      'one of two containers ended',
      {
        containers: [app, { ...app, name: 'other' }],
        status: {
          phase: 'Running',
          containerStatuses: [
            status('other', { state: { terminated: { exitCode: 0, reason: 'Completed' } } }),
            running,
          ],
        },
      },
      '1/2 | NotReady | 0 | 90s',
    ],
  ];
  for (const [what, given, expected] of cases) it(what, () => assert.equal(row(given), expected));

  it('has an address and a node in the wide form', () => {
    const object: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: {
        containers: [app],
        nodeName: 'n',
        readinessGates: [{ conditionType: 'a' }, { conditionType: 'b' }],
      },
      status: { phase: 'Running', podIP: '10.0.0.1', conditions: [{ type: 'a', status: 'True' }] },
    };
    assert.deepEqual(pods.cells?.(object, now).slice(3), ['<unknown>', '10.0.0.1', 'n', '<none>', '1/2']);
  });
});
