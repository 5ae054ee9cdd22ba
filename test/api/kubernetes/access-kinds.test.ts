/** Rules of the kinds that say who may do what, and of certificate requests. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  certificateSigningRequests,
  clusterRoleBindings,
  roleBindings,
  type CertificateSigningRequest,
} from '../../../src/api/kubernetes/index.ts';
import { admitted, faults, now } from './support.ts';

describe('certificate requests', () => {
  type Conditions = NonNullable<NonNullable<CertificateSigningRequest['status']>['conditions']>;
  const request = (spec: object = {}, conditions?: object[]): object => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: 'r', creationTimestamp: '2026-01-02T03:00:05Z' },
    spec: { request: 'eA==', signerName: 'acme.com/signer', usages: ['client auth'], ...spec },
    ...(conditions ? { status: { conditions } } : {}),
  });
  const update = (old: object[], next: object[], subresource: string): string[] => {
    const before = request({}, old) as CertificateSigningRequest;
    return faults(certificateSigningRequests, request({}, next), {
      operation: 'UPDATE',
      old: before,
      subresource,
    });
  };
  const condition = (type: string, status = 'True'): object => ({ type, status });

  const specs: [object, RegExp | undefined][] = [
    [{}, undefined],
    [{ expirationSeconds: 600 }, undefined],
    [
      { expirationSeconds: 599 },
      /^spec\.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds/,
    ],
    [{ signerName: '' }, /^spec\.signerName: Required value$/],
    [{ signerName: undefined }, /^spec\.signerName: Required value$/],
    [
      { signerName: 'signer' },
      /^spec\.signerName: Invalid value: "signer": must be a fully qualified domain and path/,
    ],
    [{ usages: [] }, /^spec\.usages: Required value$/],
    [{ usages: ['fly'] }, /^spec\.usages\[0\]: Unsupported value: "fly": supported values: "any", /],
    [{ usages: ['any', 'any'] }, /^spec\.usages\[1\]: Duplicate value: "any"$/],
  ];
  for (const [spec, fault] of specs) {
    it(`with ${JSON.stringify(spec)}`, () => {
      const found = faults(certificateSigningRequests, request(spec));
      if (fault) assert.match(found.join('\n'), fault);
      else assert.deepEqual(found, []);
    });
  }

  const decisions: [object[], object[], string, RegExp | undefined][] = [
    [[], [condition('Approved')], 'approval', undefined],
    [[], [condition('Approved')], 'status', /may not add a condition of type "Approved"/],
    [[], [condition('Failed')], 'status', undefined],
    [[condition('Approved')], [condition('Approved'), condition('Failed')], 'status', undefined],
    [[condition('Denied')], [], 'approval', /may not remove a condition of type "Denied"/],
    [[], [condition('Approved'), condition('Denied')], 'approval', /mutually exclusive/],
    [
      [],
      [condition('Denied', 'False')],
      'approval',
      /status\.conditions\[0\]\.status: Unsupported value: "False"/,
    ],
    [[], [condition('Mine', 'False')], 'approval', undefined],
    [[], [condition('A'), condition('A')], 'approval', /Duplicate value: "A"/],
    [[], [condition('')], 'approval', /status\.conditions\[0\]\.type: Required value/],
  ];
  for (const [old, next, subresource, fault] of decisions) {
    it(`${JSON.stringify(old)} to ${JSON.stringify(next)} by ${subresource}`, () => {
      const found = update(old, next, subresource);
      if (fault) assert.match(found.join('\n'), fault);
      else assert.deepEqual(found, []);
    });
  }

  it('stay what was asked, and know when they were decided', () => {
    const old = request() as CertificateSigningRequest;
    const changed = request({ signerName: 'acme.com/other' }, [{ type: 'Approved' }]);
    const { spec, status } = admitted(certificateSigningRequests, changed, { operation: 'UPDATE', old });
    assert.equal(spec?.signerName, 'acme.com/signer');
    const time = '2026-01-02T03:04:05Z';
    const expected: Conditions = [
      { type: 'Approved', status: 'True', lastUpdateTime: time, lastTransitionTime: time },
    ];
    assert.deepEqual(status?.conditions, expected);
  });

  it('show how they stand', () => {
    const row = (spec: object, status: object): unknown =>
      certificateSigningRequests.cells?.({ ...(request(spec) as CertificateSigningRequest), status }, now);
    const cases: [object, object, string[]][] = [
      [{}, {}, ['<none>', 'Pending']],
      [{ expirationSeconds: 7200 }, { conditions: [condition('Approved')] }, ['120m', 'Approved']],
      [{}, { conditions: [condition('Approved')], certificate: 'eA==' }, ['<none>', 'Approved,Issued']],
      [{}, { conditions: [condition('Denied')] }, ['<none>', 'Denied']],
      [{}, { conditions: [condition('Approved'), condition('Failed')] }, ['<none>', 'Approved,Failed']],
    ];
    for (const [spec, status, [duration, state]] of cases)
      assert.deepEqual(row({ username: 'jane', ...spec }, status), [
        '4m',
        'acme.com/signer',
        'jane',
        duration,
        state,
      ]);
  });
});

describe('role bindings', () => {
  const binding = (subjects: object[]): object => ({
    metadata: { name: 'b', namespace: 'n', creationTimestamp: '2026-01-02T03:00:05Z' },
    roleRef: { kind: 'Role', name: 'r' },
    subjects,
  });

  it('know the groups of what they name', () => {
    const { roleRef, subjects } = admitted(
      roleBindings,
      binding([
        { kind: 'User', name: 'u' },
        { kind: 'Group', name: 'g', apiGroup: '' },
        { kind: 'ServiceAccount', name: 's', apiGroup: '' },
      ]),
    );
    const apiGroup = 'rbac.authorization.k8s.io';
    assert.deepEqual(roleRef, { apiGroup, kind: 'Role', name: 'r' });
    assert.deepEqual(subjects, [
      { kind: 'User', name: 'u', apiGroup },
      { kind: 'Group', name: 'g', apiGroup },
      { kind: 'ServiceAccount', name: 's' },
    ]);
  });

  it('may name an account without its namespace only inside of one', () => {
    const account = binding([{ kind: 'ServiceAccount', name: 's' }]);
    assert.deepEqual(faults(roleBindings, account), []);
    const wide = { ...account, roleRef: { kind: 'ClusterRole', name: 'r' } };
    assert.deepEqual(faults(clusterRoleBindings, wide), ['subjects[0].namespace: Required value']);
  });

  it('show role and subjects', () => {
    const made = admitted(
      roleBindings,
      binding([
        { kind: 'User', name: 'u' },
        { kind: 'User', name: 'v' },
        { kind: 'ServiceAccount', name: 's', namespace: 'm' },
      ]),
    );
    assert.deepEqual(roleBindings.cells?.(made, now), ['Role/r', '4m', 'u, v', '', 'm/s']);
  });
});
