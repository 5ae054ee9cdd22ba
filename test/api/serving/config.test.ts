import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import {
  configNames,
  configReaders,
  defaultServingConfig,
  makeConfigMap,
} from '../../../src/api/serving/config/index.ts';
import { domainFor, readDomainConfig } from '../../../src/api/serving/config/network.ts';
import { fillTemplate } from '../../../src/api/serving/config/template.ts';
import { readScalingSpec } from '../../../src/api/autoscaling/annotations.ts';

describe('settings', () => {
  for (const name of configNames) {
    test(`${name}: what its example shows is what an empty one means`, () => {
      const example = makeConfigMap(name).data?.['_example'] ?? '';
      const shown = parseYaml(example) as Record<string, string>;
      const part = name.slice('config-'.length) as keyof typeof defaultServingConfig;
      if (name !== 'config-domain') assert.deepEqual(configReaders[name](shown), defaultServingConfig[part]);
    });
  }

  const refused: [name: keyof typeof configReaders, data: Record<string, string>, message: RegExp][] = [
    ['config-autoscaler', { 'stable-window': 'soon' }, /"stable-window": "soon" is not a duration/],
    ['config-autoscaler', { 'stable-window': '5s' }, /between 6s and 1h0m0s/],
    ['config-autoscaler', { 'max-scale-up-rate': '1' }, /max-scale-up-rate = 1/],
    [
      'config-autoscaler',
      { 'initial-scale': '0', 'allow-zero-initial-scale': 'false' },
      /allow-zero-initial-scale/,
    ],
    ['config-autoscaler', { 'enable-scale-to-zero': 'yes' }, /not true or false/],
    [
      'config-defaults',
      { 'revision-timeout-seconds': '700' },
      /cannot be greater than max-revision-timeout-seconds/,
    ],
    ['config-defaults', { 'revision-cpu-request': 'much' }, /not a quantity/],
    ['config-gc', { 'min-non-active-revisions': '5', 'max-non-active-revisions': '1' }, /must be <=/],
    ['config-network', { 'domain-template': '{{.Nmae}}' }, /no text field Nmae/],
    ['config-domain', { 'example.com': '[' }, /./],
    ['config-features', { 'multi-container': 'on' }, /not one of enabled, allowed, disabled/],
  ];
  for (const [name, data, message] of refused) {
    test(`${name} refuses ${JSON.stringify(data)}`, () => {
      assert.throws(() => configReaders[name](data), { message });
    });
  }

  test('the most specific domain wins, then the alphabet', () => {
    const config = readDomainConfig({
      'z.com': '',
      'app.com': 'selector:\n  app: a',
      'both.com': 'selector:\n  app: a\n  tier: b',
      'other.com': 'selector:\n  app: a\n  tier: b',
    });
    assert.equal(domainFor(config, {}), 'z.com');
    assert.equal(domainFor(config, { app: 'a' }), 'app.com');
    assert.equal(domainFor(config, { app: 'a', tier: 'b' }), 'both.com');
    assert.equal(domainFor(readDomainConfig({}), {}), 'svc.cluster.local');
  });

  test('templates know fields and maps', () => {
    const values = { Name: 'n', Labels: { team: 'x' } };
    assert.equal(fillTemplate('{{.Name}}-{{ index .Labels "team" }}', values), 'n-x');
    assert.throws(() => fillTemplate('{{ if .Name }}', values));
  });
});

describe('readScalingSpec', () => {
  const read = (annotations: Record<string, string>, concurrency = 0) =>
    readScalingSpec(
      Object.fromEntries(
        Object.entries(annotations).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
      ),
      concurrency,
      defaultServingConfig.autoscaler,
    );

  test('targets', () => {
    assert.deepEqual([read({}).total, read({}).target], [100, 70]);
    assert.equal(read({}, 10).target, 7);
    assert.equal(read({ target: '20' }, 10).target, 7);
    assert.equal(read({ target: '5', 'target-utilization-percentage': '100' }, 10).target, 5);
    assert.equal(read({ metric: 'rps' }).target, 140);
    assert.equal(read({ target: '0.01', targetUtilizationPercentage: '1' }).target, 0.01);
  });

  test('windows', () => {
    assert.equal(read({}).panicWindowMs, 6000);
    assert.equal(read({ window: '6s' }).panicWindowMs, 1000);
    assert.equal(read({ window: '2m', 'panic-window-percentage': '50' }).panicWindowMs, 60_000);
  });
});
