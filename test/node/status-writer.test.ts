import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, it } from 'node:test';
import type { Pod } from '../../src/api/pods.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { notFound } from '../../src/kube/server/service/errors.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { StatusWriter } from '../../src/node/status-writer.ts';
import type { PodStatus } from '../../src/node/status.ts';

interface Patch {
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: PodStatus;
}

/** A writer on a clock of its own, and what it wrote: the phase of a status, or the names of other members. */
function makeWriter(status?: PodStatus) {
  const clock = new ManualClock(1000);
  const written: string[] = [];
  let failure: unknown;
  const patch = ((_def: unknown, _key: unknown, { body }: { body: Patch }) => {
    if (failure !== undefined) {
      const error = failure;
      failure = undefined;
      return Promise.reject(error instanceof Error ? error : new Error('refused'));
    }
    const ready = body.status?.conditions?.some(({ status: value }) => value === 'True') ? ' ready' : '';
    written.push(body.status ? `${body.status.phase}${ready}` : Object.keys(body).join());
    return Promise.resolve({});
  }) as unknown as Client['patch'];
  const pod = { metadata: { name: 'a', namespace: 'default', uid: 'u' }, ...(status ? { status } : {}) };
  const writer = new StatusWriter({ client: { patch } as Client, clock, log: silentLogger }, pod as Pod);
  return { clock, writer, written, failOnce: (error: unknown) => (failure = error) };
}

const waiting = (reason: string): PodStatus => ({
  phase: 'Pending',
  conditions: [{ type: 'ContainersReady', status: 'False' }],
  containerStatuses: [
    { name: 'a', image: '', imageID: '', ready: false, restartCount: 0, state: { waiting: { reason } } },
  ],
});
const running: PodStatus = {
  phase: 'Running',
  conditions: [{ type: 'ContainersReady', status: 'False' }],
};
const ready: PodStatus = { phase: 'Running', conditions: [{ type: 'ContainersReady', status: 'True' }] };

describe('the status of a pod', () => {
  it('rests while the pod starts, and only the last word is written', async () => {
    const { clock, writer, written } = makeWriter();
    writer.set(waiting('ContainerCreating'));
    clock.advance(40);
    writer.set(running);
    await turn();
    assert.deepEqual(written, []);
    clock.advance(20);
    await turn();
    assert.deepEqual(written, ['Running']);
  });

  it('is written at once when the pod is ready, and when it no longer is', async () => {
    const { writer, written } = makeWriter();
    writer.set(running);
    writer.set(ready);
    await turn();
    assert.deepEqual(written, ['Running ready']);
    writer.set(running);
    await turn();
    assert.deepEqual(written, ['Running ready', 'Running']);
  });

  for (const [name, status] of Object.entries({
    'a container that cannot start': waiting('ImagePullBackOff'),
    'a pod that has ended': { phase: 'Failed' },
    'a pod without a place': { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False' }] },
  })) {
    it(`is written at once for ${name}`, async () => {
      const { writer, written } = makeWriter();
      writer.set(status);
      await turn();
      assert.deepEqual(written, [status.phase]);
    });
  }

  it('is written not before the one who set it has gone on', async () => {
    const { writer, written } = makeWriter();
    writer.set(ready);
    assert.deepEqual(written, []);
    await turn();
    assert.deepEqual(written, ['Running ready']);
  });

  it('follows the name of the node and the ports, which rest only a moment', async () => {
    const { clock, writer, written } = makeWriter();
    writer.setMeta({ nodeName: 'n' });
    writer.setMeta({ annotations: { a: 'b' } });
    writer.set(running);
    clock.advance(15);
    await turn();
    assert.deepEqual(written, ['metadata,spec']);
    writer.setMeta({ annotations: { a: 'c' } });
    writer.set(ready);
    await turn();
    assert.deepEqual(written, ['metadata,spec', 'metadata', 'Running ready']);
  });

  it('is written without a rest by a flush', async () => {
    const { writer, written } = makeWriter();
    writer.setMeta({ nodeName: 'n' });
    writer.set(running);
    await writer.flush();
    assert.deepEqual(written, ['spec', 'Running']);
  });

  it('is written again after a failure', async () => {
    const { clock, writer, written, failOnce } = makeWriter();
    failOnce(new Error('the disk is full'));
    writer.set(ready);
    await turn();
    assert.deepEqual(written, []);
    clock.advance(50);
    await turn();
    assert.deepEqual(written, ['Running ready']);
  });

  it('is not written for a pod that is gone', async () => {
    const { clock, writer, written, failOnce } = makeWriter();
    failOnce(notFound(pods, 'a'));
    writer.set(ready);
    await writer.flush();
    writer.set(running);
    clock.advance(1000);
    await turn();
    assert.deepEqual(written, []);
  });
});
