import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { BuildSpec } from '../../src/api/build/build.ts';
import type { TemplateSpec } from '../../src/api/build/schemas.ts';
import { applyTemplate, substitution } from '../../src/build/apply-template.ts';
import { InvalidBuildError } from '../../src/build/invalid.ts';

const withArguments = (
  values: { [name: string]: string },
  more: Partial<BuildSpec['template']> = {},
): BuildSpec => ({
  template: {
    name: 't',
    arguments: Object.entries(values).map(([name, value]) => ({ name, value })),
    ...more,
  },
});

describe('applying a build template', () => {
  it('puts arguments over defaults into all that may hold them', () => {
    const template: TemplateSpec = {
      parameters: [{ name: 'A' }, { name: 'B', default: 'b' }, { name: 'EMPTY', default: '' }],
      steps: [
        {
          name: 'n-${A}',
          image: '${A}:${B}',
          command: ['c${A}'],
          args: ['${A}', '$A', '$(A)', '${NOT}', 'x${EMPTY}y', '${EXTRA}'],
          workingDir: '/${B}',
          env: [{ name: 'K', value: '${A}' }],
          volumeMounts: [{ name: 'v${A}', mountPath: '/${A}', subPath: '${B}' }],
          resources: { limits: { memory: '${A}' } },
        },
      ],
      volumes: [
        { name: 'v${A}', configMap: { name: 'cm${B}' } },
        { name: 's', secret: { secretName: '${A}' } },
        { name: 'p', persistentVolumeClaim: { claimName: '${A}' } },
      ],
    };
    const spec = {
      ...withArguments({ A: 'a', EXTRA: 'undeclared' }),
      volumes: [{ name: 'own', emptyDir: {} }],
    };
    assert.deepEqual(applyTemplate(spec, template), {
      steps: [
        {
          name: 'n-a',
          image: 'a:b',
          command: ['ca'],
          args: ['a', '$A', '$(A)', '${NOT}', 'xy', 'undeclared'],
          workingDir: '/b',
          env: [{ name: 'K', value: 'a' }],
          volumeMounts: [{ name: 'va', mountPath: '/a', subPath: 'b' }],
          resources: { limits: { memory: '${A}' } },
        },
      ],
      volumes: [
        { name: 'own', emptyDir: {} },
        { name: 'va', configMap: { name: 'cmb' } },
        { name: 's', secret: { secretName: 'a' } },
        { name: 'p', persistentVolumeClaim: { claimName: 'a' } },
      ],
    });
  });

  it('lets the variables of the reference win over those of the steps', () => {
    const template: TemplateSpec = {
      parameters: [{ name: 'A' }],
      steps: [
        {
          image: 'x',
          env: [
            { name: 'K', value: 'old' },
            { name: 'L', value: 'kept' },
          ],
        },
        { image: 'y' },
      ],
    };
    const spec = withArguments({ A: 'new' }, { env: [{ name: 'K', value: '${A}' }] });
    const { steps } = applyTemplate(spec, template);
    assert.deepEqual(
      steps.map((step) => step.env),
      [
        [
          { name: 'L', value: 'kept' },
          { name: 'K', value: 'new' },
        ],
        [{ name: 'K', value: 'new' }],
      ],
    );
  });

  it('leaves inline steps as they are', () => {
    const steps = [{ image: '${A}', args: ['${A${B}}'] }];
    assert.deepEqual(applyTemplate({ steps }, undefined), { steps, volumes: [] });
  });

  const refused: [string, BuildSpec, TemplateSpec, RegExp][] = [
    [
      'a missing argument',
      withArguments({}),
      {
        parameters: [
          { name: 'IMAGE', description: 'Where to push' },
          { name: 'X' },
          { name: 'Y', default: '' },
        ],
      },
      /^UnsatisfiedParameter: .*IMAGE \(Where to push\), X$/,
    ],
    [
      'an argument given twice',
      {
        template: {
          name: 't',
          arguments: [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
          ],
        },
      },
      {},
      /^DuplicateArgName: .*"A"/,
    ],
    ...(['args', 'command'] as const).map((member): [string, BuildSpec, TemplateSpec, RegExp] => [
      `a placeholder inside of another in ${member}`,
      withArguments({}),
      { steps: [{ image: 'x', [member]: ['${A${B}}'] }] },
      /^NestedPlaceholder/,
    ]),
  ];
  for (const [what, spec, template, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => applyTemplate(spec, template),
        (error) => error instanceof InvalidBuildError && message.test(error.message),
      );
    });
  }

  it('never looks into a value that it has put in', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const replace = substitution(
          new Map([
            ['A', a],
            ['B', b],
          ]),
        );
        assert.equal(replace('<${A}|${B}|${C}>'), `<${a}|${b}|\${C}>`);
      }),
    );
  });
});
