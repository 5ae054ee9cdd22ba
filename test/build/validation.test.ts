import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { builds, type BuildSpec } from '../../src/api/build/build.ts';
import { clusterBuildTemplates, buildTemplates } from '../../src/api/build/template.ts';
import type { TemplateSpec } from '../../src/api/build/schemas.ts';
import type { AdmissionContext } from '../../src/api/resource.ts';

const context: AdmissionContext = { operation: 'CREATE', user: 'u', dryRun: false, now: 0 };
const denied = 'admission webhook "webhook.build.knative.dev" denied the request: mutation failed: ';

function judgeBuild(spec: BuildSpec, name = 'b'): string {
  const build = { apiVersion: 'build.knative.dev/v1alpha1', kind: 'Build', metadata: { name }, spec };
  const issues = builds.validate?.(build, context) ?? [];
  return issues.length === 0 ? 'ok' : (builds.denial?.(issues) ?? '');
}

function judgeTemplate(spec: TemplateSpec, name = 'b'): string {
  const template = {
    apiVersion: 'build.knative.dev/v1alpha1',
    kind: 'BuildTemplate',
    metadata: { name },
    spec,
  };
  const issues = buildTemplates.validate?.(template, context) ?? [];
  assert.deepEqual(clusterBuildTemplates.validate?.(template, context), issues);
  return issues.length === 0 ? 'ok' : (buildTemplates.denial?.(issues) ?? '');
}

const steps = [{ image: 'x' }];
const git = { git: { url: 'u', revision: 'r' } };

describe('build validation', () => {
  const cases: [string, BuildSpec, string, string?][] = [
    ['steps', { steps }, 'ok'],
    ['a template', { template: { name: 't', kind: 'ClusterBuildTemplate' } }, 'ok'],
    ['nothing', {}, 'expected exactly one, got neither: spec.steps, spec.template'],
    ['both', { steps, template: { name: 't' } }, 'expected exactly one, got both: spec.steps, spec.template'],
    ['a template without name', { template: {} }, 'missing field(s): spec.template.name'],
    ['a wrong kind', { template: { name: 't', kind: 'Pod' } }, 'invalid value: Pod: spec.template.kind'],
    [
      'a dot in the name',
      { steps },
      'Invalid resource name: special character . must not be present: metadata.name',
      'a.b',
    ],
    [
      'a long name',
      { steps },
      'Invalid resource name: length must be no more than 63 characters: metadata.name',
      'a'.repeat(64),
    ],
    ['no image', { steps: [{ name: 'a' }] }, 'missing field(s): spec.steps.Image'],
    [
      'two steps of a name',
      {
        steps: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      },
      'expected exactly one, got both: spec.steps.name',
    ],
    [
      'two volumes of a name',
      { steps, volumes: [{ name: 'v' }, { name: 'v' }] },
      'expected exactly one, got both: spec.volumes.name',
    ],
    [
      'source and sources',
      { steps, source: git, sources: [{ name: 'a', ...git }] },
      'expected exactly one, got both: spec.source, spec.sources',
    ],
    [
      'unnamed sources',
      {
        steps,
        sources: [
          { ...git, targetPath: 'a' },
          { ...git, targetPath: 'b' },
        ],
      },
      'expected exactly one, got both: spec.sources.name',
    ],
    [
      'two subPaths',
      {
        steps,
        sources: [
          { name: 'a', ...git, targetPath: 'a', subPath: 'x' },
          { name: 'b', ...git, targetPath: 'b', subPath: 'y' },
        ],
      },
      'expected exactly one, got both: spec.sources.subpath',
    ],
    [
      'two sources at the root',
      {
        steps,
        sources: [
          { name: 'a', ...git },
          { name: 'b', ...git },
        ],
      },
      'invalid value: Empty Target Path: spec.sources.targetPath',
    ],
    [
      'a custom source with a target',
      { steps, sources: [{ name: 'a', custom: { image: 'x' }, targetPath: 'p' }] },
      'invalid value: p: spec.sources.targetPath',
    ],
    [
      'overlapping targets',
      {
        steps,
        sources: [
          { name: 'a', ...git, targetPath: 'foo' },
          { name: 'b', ...git, targetPath: '/foo/bar/' },
        ],
      },
      'Overlapping Target Paths: spec.sources.targetPath',
    ],
    [
      'targets with a common beginning',
      {
        steps,
        sources: [
          { name: 'a', ...git, targetPath: 'foo' },
          { name: 'b', ...git, targetPath: 'foobar/x' },
        ],
      },
      'ok',
    ],
    [
      'a target outside',
      { steps, sources: [{ name: 'a', ...git, targetPath: '../x' }] },
      'invalid value: ../x: spec.sources.targetPath',
    ],
    ['a day', { steps, timeout: '24h' }, 'ok'],
    ['more than a day', { steps, timeout: '36h' }, 'expected 0 <= 36h0m0s <= 24: spec.timeout'],
    ['less than nothing', { steps, timeout: '-48h' }, 'expected 0 <= -48h0m0s <= 24: spec.timeout'],
    ['no duration', { steps, timeout: 'soon' }, 'invalid value: soon: spec.timeout'],
  ];
  for (const [what, spec, answer, name] of cases) {
    it(`judges ${what}`, () =>
      assert.equal(judgeBuild(spec, name), answer === 'ok' ? 'ok' : denied + answer));
  }

  const templates: [string, TemplateSpec, string][] = [
    ['no steps', {}, 'ok'],
    ['no image', { steps: [{}] }, 'missing field(s): spec.Image'],
    [
      'two steps of a name',
      {
        steps: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      },
      'expected exactly one, got both: spec.name',
    ],
    [
      'two parameters of a name',
      { parameters: [{ name: 'P' }, { name: 'P' }] },
      'invalid key name "ParamName": spec.b.spec.params',
    ],
  ];
  for (const [what, spec, answer] of templates) {
    it(`judges a template with ${what}`, () => {
      assert.equal(judgeTemplate(spec), answer === 'ok' ? 'ok' : denied + answer);
    });
  }
});
