import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { kubernetesFacts } from '../../../src/api/kubernetes/schemas.ts';
import { resources } from '../../../src/api/registry.ts';
import { ProtobufReader } from '../../../src/kube/server/protobuf-reader.ts';
import { decodeKubernetesProtobuf } from '../../../src/kube/server/protobuf.ts';
import { protobufType } from '../../../src/kube/server/protobuf-types.ts';

interface Captured {
  body: string;
  object: { apiVersion: string; kind: string; metadata?: { name: string } };
}

/** Bodies that kubectl 1.33 sent for its `create` commands, with the objects that those commands describe. */
const captured = JSON.parse(
  readFileSync(new URL('fixtures/kubectl-1.33-bodies.json', import.meta.url), 'utf8'),
) as Captured[];

// A writer of the few forms that the tests below need.
const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
};
const field = (number: number, body: Buffer | string): Buffer => {
  const bytes = Buffer.from(body);
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
};
const integer = (number: number, value: number): Buffer => Buffer.concat([varint(number * 8), varint(value)]);
const envelope = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    field(1, Buffer.concat([field(1, apiVersion), field(2, kind)])),
    field(2, raw),
  ]);

describe('protobuf bodies', () => {
  for (const { body, object } of captured) {
    it(`reads ${object.kind} ${object.metadata?.name ?? ''} as kubectl sent it`, () => {
      assert.deepEqual(decodeKubernetesProtobuf(Buffer.from(body, 'base64')), object);
    });
  }

  it('reads a CustomResourceDefinition as a Go program of client-go encodes it', () => {
    const text = readFileSync(new URL('fixtures/client-go-crd.json', import.meta.url), 'utf8');
    const { body, object } = JSON.parse(text) as { body: string; object: Record<string, unknown> };
    const decoded = decodeKubernetesProtobuf(Buffer.from(body, 'base64'));
    assert.deepEqual(decoded['spec'], object['spec']);
    assert.deepEqual(decoded['kind'], 'CustomResourceDefinition');
  });

  it('keeps zeros that mean something and drops those that Go always sends', () => {
    const spec = Buffer.concat([integer(1, 0), integer(5, 0), integer(7, 0), field(4, '')]);
    const object = decodeKubernetesProtobuf(envelope('apps/v1', 'Deployment', field(2, spec)));
    assert.deepEqual(object['spec'], { replicas: 0 });
  });

  it('reads embedded structs, intstr, times, quantities and maps', () => {
    const emptyDir = field(2, field(2, ''));
    const volume = Buffer.concat([field(1, 'tmp'), emptyDir]);
    const probe = field(1, field(2, field(2, Buffer.concat([integer(1, 1), field(3, 'http')]))));
    const requests = field(8, field(2, Buffer.concat([field(1, 'cpu'), field(2, field(1, '100m'))])));
    const container = field(2, Buffer.concat([field(1, 'app'), field(11, probe), requests]));
    const spec = field(2, Buffer.concat([field(1, volume), container]));
    const meta = field(1, Buffer.concat([field(1, 'p'), field(8, integer(1, 1_700_000_000))]));
    assert.deepEqual(decodeKubernetesProtobuf(envelope('v1', 'Pod', Buffer.concat([meta, spec]))), {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', creationTimestamp: '2023-11-14T22:13:20Z' },
      spec: {
        volumes: [{ name: 'tmp', emptyDir: {} }],
        containers: [
          {
            name: 'app',
            readinessProbe: { httpGet: { port: 'http' } },
            resources: { requests: { cpu: '100m' } },
          },
        ],
      },
    });
  });

  it('reads DeleteOptions of any group', () => {
    const raw = Buffer.concat([integer(1, 0), field(4, 'Background')]);
    for (const apiVersion of ['v1', 'apps/v1', 'meta.k8s.io/v1']) {
      const options = decodeKubernetesProtobuf(envelope(apiVersion, 'DeleteOptions', raw));
      assert.equal(options['gracePeriodSeconds'], 0);
      assert.equal(options['propagationPolicy'], 'Background');
    }
  });

  it('skips fields that it does not know', () => {
    const raw = Buffer.concat([field(1, field(1, 'x')), field(999, 'new'), integer(998, 7)]);
    const object = decodeKubernetesProtobuf(envelope('v1', 'ConfigMap', raw));
    assert.deepEqual(object['metadata'], { name: 'x' });
  });

  it('never lets a map key reach a prototype', () => {
    const entry = field(2, Buffer.concat([field(1, '__proto__'), field(2, 'x')]));
    const object = decodeKubernetesProtobuf(envelope('v1', 'ConfigMap', entry));
    assert.deepEqual(Object.keys(object['data'] as object), ['__proto__']);
  });

  it('keeps the digits of integers, or refuses them', () => {
    const read = (...bytes: number[]): number =>
      new ProtobufReader(Buffer.from(bytes), 0, bytes.length).varint();
    assert.equal(read(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), -1);
    assert.equal(read(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10), 2 ** 53);
    assert.throws(
      () => read(0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10),
      /9007199254740993 cannot be kept exactly/,
    );
  });

  it('refuses kinds it does not know', () => {
    assert.throws(() => decodeKubernetesProtobuf(envelope('v2', 'Pod', Buffer.alloc(0))), {
      message: 'no kind "Pod" is registered for version "v2"',
    });
  });

  it('knows every message that a served kind can hold', () => {
    const seen = new Set<string>();
    const visit = (type: string): void => {
      if (seen.has(type) || type === '' || type === 'list of strings') return;
      seen.add(type);
      if (typeof kubernetesFacts[type]?.['='] === 'string') return;
      for (const { type: inner } of protobufType(type).values()) visit(inner);
    };
    const builtin = resources.filter((def) => def.builtin && def.schema.$ref);
    for (const def of builtin) visit(def.schema.$ref ?? '');
    assert.ok(seen.size > 200);
  });

  it('gives each field of a message a number of its own', () => {
    for (const [type, fields] of Object.entries(kubernetesFacts)) {
      const numbers = Object.values(fields ?? {}).flatMap((field) =>
        typeof field === 'object' && 'n' in field && typeof field.n === 'number' ? [field.n] : [],
      );
      assert.equal(new Set(numbers).size, numbers.length, type);
    }
  });

  it('ends with an object or an Error on any bytes', () => {
    const kinds = fc.constantFrom(
      ['v1', 'Pod'],
      ['apps/v1', 'Deployment'],
      ['v1', 'Event'],
      ['v1', 'PersistentVolume'],
    );
    fc.assert(
      fc.property(kinds, fc.uint8Array({ maxLength: 300 }), ([apiVersion = '', kind = ''], raw) => {
        try {
          const object = decodeKubernetesProtobuf(envelope(apiVersion, kind, Buffer.from(raw)));
          assert.equal(object['kind'], kind);
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
          assert.ok(!(error instanceof RangeError), String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses captured bodies that were cut anywhere, or reads a part of them', () => {
    for (const { body } of captured) {
      const whole = Buffer.from(body, 'base64');
      for (let end = 0; end < whole.length; end += 7) {
        try {
          decodeKubernetesProtobuf(whole.subarray(0, end));
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof TypeError), String(error));
        }
      }
    }
  });
});
