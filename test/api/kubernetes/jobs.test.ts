import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cronJobs, jobs, type Job } from '../../../src/api/kubernetes/batch.ts';
import { makePrinter } from '../../../src/kube/server/table.ts';
import { admitted, faults, now } from './support.ts';

const containers = [{ name: 'app', image: 'a:1' }];
const metadata = { name: 'x', namespace: 'default', uid: 'u-1' };

function job(spec: object = {}, pod: object = {}): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata,
    spec: { template: { spec: { restartPolicy: 'Never', containers, ...pod } }, ...spec },
  };
}

describe('jobs', () => {
  it('get their defaults, and labels that tie pods to them', () => {
    const { spec, metadata: meta } = admitted(jobs, {
      ...job({
        template: { metadata: { labels: { a: 'b' } }, spec: { restartPolicy: 'Never', containers } },
      }),
    });
    assert.equal(spec?.parallelism, 1);
    assert.equal(spec.completions, 1);
    assert.equal(spec.backoffLimit, 6);
    assert.equal(spec.completionMode, 'NonIndexed');
    assert.equal(spec.suspend, false);
    assert.equal(spec.podReplacementPolicy, 'TerminatingOrFailed');
    assert.deepEqual(spec.selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u-1' } });
    assert.deepEqual(spec.template.metadata?.labels, {
      a: 'b',
      'batch.kubernetes.io/controller-uid': 'u-1',
      'batch.kubernetes.io/job-name': 'x',
      'controller-uid': 'u-1',
      'job-name': 'x',
    });
    assert.deepEqual(
      meta.labels,
      spec.template.metadata?.labels,
      'those of the template, for want of its own',
    );
    assert.equal(spec.manualSelector, false);
    assert.equal(admitted(jobs, job({ parallelism: 2 })).spec?.completions, undefined);
    assert.equal(
      admitted(jobs, job({ completions: 2, completionMode: 'Indexed', backoffLimitPerIndex: 1 })).spec
        ?.backoffLimit,
      2147483647,
    );
    const rules = [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }];
    const withPolicy = admitted(jobs, job({ podFailurePolicy: { rules } })).spec;
    assert.equal(withPolicy?.podReplacementPolicy, 'Failed');
    assert.equal(withPolicy.podFailurePolicy?.rules[0]?.onPodConditions?.[0]?.status, 'True');
  });

  const indexed = { completionMode: 'Indexed', completions: 5 };
  const exitCodes = (onExitCodes: object, more: object = {}): object =>
    job({ podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes, ...more }] } });
  for (const [what, given, expected] of [
    ['a plain one', job(), []],
    ['an indexed one', job({ ...indexed, backoffLimitPerIndex: 1, maxFailedIndexes: 2 }), []],
    ['a policy', exitCodes({ operator: 'In', values: [1, 2], containerName: 'app' }), []],
    [
      'negative numbers',
      job({ parallelism: -1, backoffLimit: -1, activeDeadlineSeconds: -1, ttlSecondsAfterFinished: -1 }),
      ['parallelism', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished'].map(
        (name) => `spec.${name}: Invalid value: -1: must be greater than or equal to 0`,
      ),
    ],
    [
      'pods that run for ever',
      job({}, { restartPolicy: 'Always' }),
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ],
    [
      'a selector of its own without saying so',
      job({ selector: { matchLabels: { a: 'b' } } }),
      [
        'spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` not auto-generated',
        /^spec\.template\.metadata\.labels: Invalid value: .*: `selector` does not match template `labels`$/,
      ],
    ],
    [
      'a mode that does not exist',
      job({ completionMode: 'Sorted' }),
      ['spec.completionMode: Unsupported value: "Sorted": supported values: "Indexed", "NonIndexed"'],
    ],
    [
      'indexes without an end',
      job({ completionMode: 'Indexed', parallelism: 1 }),
      ['spec.completions: Required value: when completion mode is Indexed'],
    ],
    [
      'limits of indexes without indexes',
      job({ backoffLimitPerIndex: 1 }),
      ['spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode'],
    ],
    [
      'more failed indexes than indexes',
      job({ ...indexed, maxFailedIndexes: 6 }),
      [
        'spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions',
        'spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified',
      ],
    ],
    [
      'a name that makes no host names',
      { ...(job(indexed) as Job), metadata: { ...metadata, name: 'x'.repeat(62) } },
      [
        /^metadata\.name: Invalid value: "x+": will not able to create pod with invalid DNS hostname: x+-4: must be no more than 63 bytes$/,
      ],
    ],
    [
      'a policy for pods that restart',
      job({ podFailurePolicy: { rules: [] } }, { restartPolicy: 'OnFailure' }),
      [
        'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
      ],
    ],
    [
      'rules that say nothing or too much',
      job({
        podFailurePolicy: {
          rules: [
            { action: 'Ignore' },
            { action: 'FailIndex', onExitCodes: { operator: 'In', values: [1] } },
          ],
        },
      }),
      [
        'spec.podFailurePolicy.rules[0]: Invalid value: "": specifying one of OnExitCodes and OnPodConditions is required',
        'spec.podFailurePolicy.rules[1].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
      ],
    ],
    [
      'exit codes out of order',
      exitCodes({ operator: 'In', values: [3, 0, 3], containerName: 'other' }),
      [
        'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "other": must be one of the container or initContainer names in the pod template',
        'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator',
        'spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3',
        'spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered',
      ],
    ],
    [
      'a replacement policy that does not go with a failure policy',
      job({
        podFailurePolicy: { rules: [] },
        podReplacementPolicy: 'TerminatingOrFailed',
      }),
      ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
    ],
    [
      'success of what has no indexes',
      job({ successPolicy: { rules: [{ succeededCount: 1 }] } }),
      [/^spec\.successPolicy: Invalid value: .*: requires indexed completion mode$/],
    ],
    [
      'success that cannot come',
      job({
        ...indexed,
        successPolicy: {
          rules: [{ succeededIndexes: '0-2', succeededCount: 4 }, { succeededIndexes: '2,1' }, {}],
        },
      }),
      [
        'spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)',
        'spec.successPolicy.rules[1].succeededIndexes: Invalid value: "2,1": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1',
        'spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified',
      ],
    ],
    [
      'a manager without a domain',
      job({ managedBy: 'me' }),
      ['spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")'],
    ],
  ] as const) {
    it(`checks ${what}`, () => {
      const found = faults(jobs, given);
      assert.equal(found.length, expected.length, found.join('\n'));
      expected.forEach((text, i) => {
        if (typeof text === 'string') assert.equal(found[i], text);
        else assert.match(found[i] ?? '', text);
      });
    });
  }

  it('keep what they were made with', () => {
    const old = admitted(jobs, job(indexed));
    const change = (spec: object): string[] => {
      const next = { ...old, spec: { ...old.spec, ...spec } };
      return faults(jobs, next, { operation: 'UPDATE', old });
    };
    assert.deepEqual(
      change({ parallelism: 9, backoffLimit: 1, suspend: true, ttlSecondsAfterFinished: 3 }),
      [],
    );
    assert.deepEqual(change({ completions: 7, parallelism: 7 }), []);
    assert.deepEqual(change({ completions: 7 }), [
      'spec.completions: Invalid value: 7: may only be modified in tandem with spec.parallelism',
    ]);
    assert.deepEqual(change({ backoffLimitPerIndex: 3 }), [
      'spec.backoffLimitPerIndex: Invalid value: 3: field is immutable',
    ]);
    const spec = { ...old.spec?.template.spec, nodeSelector: { disk: 'fast' } };
    const template = { ...old.spec?.template, spec };
    assert.match(change({ template })[0] ?? '', /^spec\.template: Invalid value: .*: field is immutable$/);
    const suspended = admitted(jobs, job({ ...indexed, suspend: true }));
    const moved = { ...suspended, spec: { ...suspended.spec, template } };
    assert.deepEqual(
      faults(jobs, moved, { operation: 'UPDATE', old: suspended }),
      [],
      'before it first runs',
    );
  });

  it('print how they stand', () => {
    const printer = makePrinter(jobs);
    const at = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
    const row = (spec: object, status: object): unknown[] =>
      printer
        .cells(
          {
            apiVersion: 'batch/v1',
            kind: 'Job',
            metadata: { ...metadata, creationTimestamp: at(60) },
            spec: { template: {}, ...spec },
            status,
          } as never,
          now,
        )
        .slice(0, 5);
    const holds = (...types: string[]) => ({ conditions: types.map((type) => ({ type, status: 'True' })) });
    assert.deepEqual(row({ completions: 3 }, { startTime: at(50) }), ['x', 'Running', '0/3', '50s', '60s']);
    assert.deepEqual(
      row(
        { completions: 3 },
        {
          ...holds('SuccessCriteriaMet', 'Complete'),
          succeeded: 3,
          startTime: at(50),
          completionTime: at(20),
        },
      ),
      ['x', 'Complete', '3/3', '30s', '60s'],
    );
    assert.deepEqual(row({ parallelism: 2 }, holds('Suspended')), ['x', 'Suspended', '0/1 of 2', '', '60s']);
    assert.deepEqual(row({ completions: 1 }, holds('FailureTarget', 'Failed'))[1], 'Failed');
  });
});

describe('cron jobs', () => {
  const cron = (spec: object = {}, name = 'x'): object => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { ...metadata, name },
    spec: {
      schedule: '*/5 * * * *',
      jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers } } } },
      ...spec,
    },
  });
  for (const [what, given, expected] of [
    ['a plain one', cron({ timeZone: 'Europe/Paris', startingDeadlineSeconds: 0 }), []],
    ['an interval', cron({ schedule: '@every 1h' }), []],
    [
      'a schedule that is none',
      cron({ schedule: 'at noon' }),
      ['spec.schedule: Invalid value: "at noon": expected exactly 5 fields, found 2: [at noon]'],
    ],
    [
      'a zone in the schedule',
      cron({ schedule: 'TZ=UTC 0 0 * * *' }),
      [
        'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
      ],
    ],
    [
      'a zone that is none',
      cron({ timeZone: 'Europe/Atlantis' }),
      ['spec.timeZone: Invalid value: "Europe/Atlantis": unknown time zone Europe/Atlantis'],
    ],
    [
      "the machine's zone",
      cron({ timeZone: 'Local' }),
      [
        'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
      ],
    ],
    [
      'an unknown policy',
      cron({ concurrencyPolicy: 'Maybe' }),
      ['spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'],
    ],
    [
      'negative limits',
      cron({ successfulJobsHistoryLimit: -1 }),
      ['spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0'],
    ],
    [
      'a long name',
      cron({}, 'x'.repeat(53)),
      [`metadata.name: Invalid value: "${'x'.repeat(53)}": must be no more than 52 characters`],
    ],
  ] as const) {
    it(`checks ${what}`, () => assert.deepEqual(faults(cronJobs, given), expected));
  }
});
