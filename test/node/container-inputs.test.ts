import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { configMaps, secrets } from '../../src/api/kubernetes/core.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode, type DriverName, type TestNode } from './support.ts';

const print = (expression: string): string => `console.log(JSON.stringify(${expression}))`;

for (const driver of ['process', 'spawn', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`what containers are given, ${driver} driver`, { skip: skip ?? false, concurrency: 3 }, () => {
    let node: TestNode;
    before(async () => {
      node = await startTestNode(driver);
    });
    after(() => node.close());

    it('makes the environment of values, references, fields and the image', async () => {
      const { client } = node.api;
      const metadata = { name: 'settings', namespace: 'default' };
      await client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata,
        data: { color: 'green' },
      });
      const data = { password: Buffer.from('s3cret').toString('base64') };
      await client.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, data });
      await node.run('environment', {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [
              print(
                '[process.env.COLOR, process.env.all_color, process.env.PASSWORD, process.env.NAME, process.env.GREETING, process.env.NONE ?? null, process.env.LIMIT]',
              ),
            ],
            resources: { limits: { memory: '512Mi' } },
            envFrom: [{ prefix: 'all_', configMapRef: { name: 'settings' } }],
            env: [
              { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
              { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'settings', key: 'password' } } },
              { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'GREETING', value: 'I am $(NAME) and $(NOBODY)' },
              { name: 'NONE', valueFrom: { secretKeyRef: { name: 'other', key: 'x', optional: true } } },
              {
                name: 'LIMIT',
                valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } },
              },
            ],
          },
        ],
      });
      await node.until('environment', 'Succeeded', (p) => p.status?.phase === 'Succeeded');
      const wanted = [
        'green',
        'green',
        's3cret',
        'environment',
        'I am environment and $(NOBODY)',
        null,
        '512',
      ];
      assert.deepEqual(JSON.parse(await node.logs('environment')), wanted);
    });

    it('waits for a ConfigMap that does not exist yet', async () => {
      await node.run('early', {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [print('process.env.WORD')],
            envFrom: [{ configMapRef: { name: 'late' } }],
          },
        ],
      });
      const pod = await node.until('early', 'CreateContainerConfigError', (p) => {
        return p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError';
      });
      assert.equal(pod.status?.containerStatuses?.[0]?.state?.waiting?.message, 'configmap "late" not found');
      const metadata = { name: 'late', namespace: 'default' };
      await node.api.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata,
        data: { WORD: 'now' },
      });
      await node.until('early', 'Succeeded', (p) => p.status?.phase === 'Succeeded');
      assert.equal(await node.logs('early'), '"now"\n');
    });

    it('shows ConfigMaps and fields as files, and follows changes', async () => {
      const metadata = { name: 'files', namespace: 'default' };
      const { client } = node.api;
      await client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata,
        data: { a: '1', b: '2' },
      });
      const script = `
        const fs = require('fs');
        console.log(fs.readFileSync(process.argv[1] + '/x/a', 'utf8') + fs.readFileSync(process.argv[1] + '/name', 'utf8') + fs.existsSync(process.argv[1] + '/b'));
        const timer = setInterval(() => {
          if (fs.readFileSync(process.argv[1] + '/x/a', 'utf8') !== 'changed') return;
          console.log('changed');
          clearInterval(timer);
        }, 20);`;
      await node.run('files', {
        restartPolicy: 'Never',
        volumes: [
          {
            name: 'all',
            projected: {
              sources: [
                { configMap: { name: 'files', items: [{ key: 'a', path: 'x/a' }] } },
                { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
              ],
            },
          },
        ],
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [script, '/etc/all'],
            volumeMounts: [{ name: 'all', mountPath: '/etc/all', readOnly: true }],
          },
        ],
      });
      await waitFor('the first content', async () => {
        return node.logs('files').then(
          (text) => text === '1filesfalse\n',
          () => false,
        );
      });
      const body = { data: { a: 'changed' } };
      await client.patch(configMaps, { namespace: 'default', name: 'files' }, { type: 'merge', body });
      await node.until('files', 'Succeeded', (p) => p.status?.phase === 'Succeeded');
    });
  });
}
