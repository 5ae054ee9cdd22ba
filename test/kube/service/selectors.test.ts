import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../../src/kube/api-error.ts';
import { parseFieldSelector, parseLabelSelector } from '../../../src/kube/server/service/selectors.ts';
import { startTestApi } from '../../support/api.ts';
import { configMap, pod, resource, widgets } from './support.ts';

const labels = { app: 'web', tier: 'front', count: '5', 'example.com/x': '', constructor: 'c' };

const matching: readonly [selector: string, matches: boolean][] = [
  ['', true],
  ['  ', true],
  ['app=web', true],
  ['app==web', true],
  ['app = web , tier = front', true],
  ['app=api', false],
  ['app!=api', true],
  ['app!=web', false],
  ['missing!=x', true],
  ['app', true],
  ['missing', false],
  ['!missing', true],
  ['! app', false],
  ['app in (api, web)', true],
  ['app in (api)', false],
  ['app notin (api)', true],
  ['app notin (web,api)', false],
  ['missing notin (a)', true],
  ['missing in (a)', false],
  ['example.com/x=', true],
  ['example.com/x in (,a)', true],
  ['count>4', true],
  ['count>5', false],
  ['count<6,count>4', true],
  ['app>4', false],
  ['constructor=c', true],
  ['toString', false],
  ['!toString', true],
  ['in in (a)', false],
  ['app in (web),tier in (front),!x', true],
];

test('label selectors select as kubectl users expect', () => {
  for (const [selector, matches] of matching) {
    const match = parseLabelSelector(selector);
    assert.equal(match?.(configMap('a', {}, { labels })) ?? true, matches, selector);
  }
  assert.equal(parseLabelSelector('app=web')?.(configMap('no-labels')), false);
});

test('malformed label selectors are a 400 that says where', () => {
  for (const selector of [
    'app=web,',
    ',app',
    'app in web',
    'app in (web',
    'app ~ web',
    '=web',
    'app=a b',
    'a b',
    '-x=1',
    'x=-1-',
    'app>x',
    'app=web)',
    'x/y/z=1',
    `${'k'.repeat(64)}=1`,
  ]) {
    assert.throws(
      () => parseLabelSelector(selector),
      (error) => error instanceof ApiError && error.code === 400 && error.message.length > 10,
      selector,
    );
  }
});

test('field selectors: common fields everywhere, some more per kind, anything else is refused', async () => {
  const { service, close } = await startTestApi({ resources: [widgets] });
  const pods = resource(service, 'pods');
  const running = {
    ...pod('a', { nodeName: 'node1' }),
    status: { phase: 'Running', podIP: '10.0.0.1' },
  };
  const table: readonly [string, boolean][] = [
    ['metadata.name=a', true],
    ['metadata.name!=a', false],
    ['metadata.namespace=default,metadata.name=a', true],
    ['spec.nodeName=node1', true],
    ['spec.nodeName=', false],
    ['spec.nodeName!=node1', false],
    ['status.phase=Running', true],
    ['status.phase!=Running,status.phase!=Succeeded', false],
    ['status.podIP==10.0.0.1', true],
    ['spec.hostNetwork=false', true],
  ];
  for (const [selector, matches] of table) {
    assert.equal(parseFieldSelector(selector, pods)?.matches(running), matches, selector);
  }
  const events = resource(service, 'events');
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'default' },
    involvedObject: { kind: 'Pod', name: 'a', uid: 'u' },
    reason: 'Started',
    type: 'Normal',
    source: { component: 'kubelet' },
  };
  const selector =
    'involvedObject.name=a,involvedObject.kind=Pod,involvedObject.uid=u,reason=Started,type=Normal,source=kubelet';
  assert.equal(parseFieldSelector(selector, events)?.matches(event), true);
  const refused = (text: string, def = pods): void =>
    assert.throws(() => parseFieldSelector(text, def), { code: 400 }, text);
  refused('spec.color=red');
  refused('status.phase=Running', widgets);
  refused('metadata.labels=a');
  refused('nonsense');
  assert.throws(() => parseFieldSelector('spec.x=1', widgets), {
    message: 'field label not supported: spec.x',
  });
  await close();
});
