/** Disruption budgets, the evictions that they allow, and kubectl drain. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { isPodReady, type Pod } from '../../../../src/api/pods.ts';
import {
  deployments,
  jobs,
  namespaces,
  podDisruptionBudgets,
  pods,
  type PodDisruptionBudget,
} from '../../../../src/api/kubernetes/index.ts';
import { kubectls } from '../../../support/kubectl.ts';
import { waitFor } from '../../../support/wait.ts';
import { makeDeployment } from '../../../cluster/support.ts';
import { assertStatus, type Status, type TestServer } from '../support.ts';
import { startServerWithCluster } from './support.ts';

const run = promisify(execFile);

describe('evictions', () => {
  let server: TestServer;
  let last = 0;
  /** Names of pods that stay unready. */
  const unready = new Set<string>();
  before(async () => {
    server = await startServerWithCluster({
      becomesReady: (pod) => !unready.has(pod.metadata.labels?.['app'] ?? ''),
    });
  });
  after(() => server.close());

  const client = (): TestServer['api']['client'] => server.api.client;

  async function namespace(): Promise<string> {
    const name = `evictions-${++last}`;
    await client().create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    return name;
  }

  async function deploy(ns: string, name: string, replicas: number): Promise<Pod[]> {
    const made = makeDeployment(name, { replicas });
    await client().create(deployments, { ...made, metadata: { ...made.metadata, namespace: ns } });
    return waitFor(`${replicas} pods of ${name}`, async () => {
      const found = await podsOf(ns, name);
      const started = found.filter((pod) => pod.status?.phase === 'Running');
      return started.length === replicas && started;
    });
  }

  async function podsOf(ns: string, app: string): Promise<Pod[]> {
    const { items } = await client().list(pods, { namespace: ns, labelSelector: `app=${app}` });
    return items.filter((pod) => !pod.metadata.deletionTimestamp);
  }

  const budgetOf = (ns: string, name: string, spec: object): Promise<PodDisruptionBudget> =>
    client().create(podDisruptionBudgets, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name, namespace: ns },
      spec: { selector: { matchLabels: { app: name } }, ...spec },
    });

  /** Expected, healthy, wanted, allowed, and the reason of the condition, once they are as wanted. */
  const status = (ns: string, name: string, wanted: readonly [number, number, number, number, string]) =>
    waitFor(`budget ${name} to say ${wanted.join(' ')}`, async () => {
      const { status: found, metadata } = await client().get(podDisruptionBudgets, { namespace: ns, name });
      const { expectedPods, currentHealthy, desiredHealthy, disruptionsAllowed, conditions } = found ?? {};
      const is = [expectedPods, currentHealthy, desiredHealthy, disruptionsAllowed, conditions?.[0]?.reason];
      if (is.join(' ') !== wanted.join(' ')) throw new Error(`it says ${is.join(' ')}`);
      assert.equal(found?.observedGeneration, metadata.generation);
      return found;
    });

  const evict = (ns: string, name: string, more: object = {}, query = '') =>
    server.call('POST', `/api/v1/namespaces/${ns}/pods/${name}/eviction${query}`, {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: ns }, ...more },
    });

  function assertBudget(reply: Awaited<ReturnType<typeof evict>>, cause: string): void {
    const message = "Cannot evict pod as it would violate the pod's disruption budget.";
    const { details } = assertStatus(reply, 429, 'TooManyRequests', message);
    assert.deepEqual(details?.causes, [{ reason: 'DisruptionBudget', message: cause }]);
  }

  it('without a budget are deletions', async () => {
    const ns = await namespace();
    const [pod] = await deploy(ns, 'free', 1);
    const name = pod?.metadata.name ?? '';
    // Older clients say v1beta1 and mean the same.
    const dry = await evict(ns, name, { apiVersion: 'policy/v1beta1' }, '?dryRun=All');
    assert.equal(dry.status, 201, dry.body.toString());
    await client().get(pods, { namespace: ns, name });
    const key = { namespace: ns, name };
    const hold = (finalizers: string[] | null) =>
      client().patch(pods, key, { type: 'merge', body: { metadata: { finalizers } } });
    await hold(['example.com/hold']);
    const reply = await evict(ns, name);
    assert.deepEqual([reply.status, reply.json<Status>().status], [201, 'Success']);
    const { metadata, status: last } = await client().get(pods, key);
    assert.ok(metadata.deletionTimestamp);
    const target = last?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual([target?.status, target?.reason], ['True', 'EvictionByEvictionAPI']);
    await hold(null);
    await waitFor('the pod to go', async () => {
      const { items } = await client().list(pods, { namespace: ns });
      return items.every((item) => item.metadata.name !== name);
    });
    assertStatus(await evict(ns, name), 404, 'NotFound', `pods "${name}" not found`);
  });

  it('go as far as the budget, and no further', async () => {
    const ns = await namespace();
    const found = await deploy(ns, 'app', 3);
    await budgetOf(ns, 'app', { minAvailable: 2 });
    await status(ns, 'app', [3, 3, 2, 1, 'SufficientPods']);
    // All at once: what one has been granted the others see.
    const replies = await Promise.all(found.map((pod) => evict(ns, pod.metadata.name)));
    assert.deepEqual(
      replies.map((reply) => reply.status).sort((a, b) => a - b),
      [201, 429, 429],
    );
    // The deployment replaces it, and the budget has one to give again.
    await status(ns, 'app', [3, 3, 2, 1, 'SufficientPods']);
    const [next] = await podsOf(ns, 'app');
    assert.equal((await evict(ns, next?.metadata.name ?? '')).status, 201);
  });

  it('never take more than the budget, however many ask at once', async () => {
    const ns = await namespace();
    const first = await deploy(ns, 'app', 6);
    await budgetOf(ns, 'app', { maxUnavailable: 2 });
    await status(ns, 'app', [6, 6, 4, 2, 'SufficientPods']);
    const ended = new AbortController();
    const healthy = new Set<string>();
    let fewest = Number.POSITIVE_INFINITY;
    const watching = (async () => {
      for await (const { type, object } of client().watch(pods, { namespace: ns, signal: ended.signal })) {
        if (type === 'BOOKMARK') continue;
        const { name, deletionTimestamp } = object.metadata;
        if (type !== 'DELETED' && !deletionTimestamp && isPodReady(object)) healthy.add(name);
        else healthy.delete(name);
        // The first six are told one by one.
        if (healthy.size === 6) fewest = Math.min(fewest, 6);
        if (fewest <= 6) fewest = Math.min(fewest, healthy.size);
      }
    })();
    await waitFor('the watch to show all', () => healthy.size === 6);
    const left = new Set(first.map(({ metadata }) => metadata.name));
    let granted = 0;
    await waitFor('all of the first to be evicted', async () => {
      await Promise.all(
        [...left].map(async (name) => {
          const { status: code } = await evict(ns, name);
          if (code === 201) granted++;
          if (code === 201 || code === 404) left.delete(name);
        }),
      );
      return left.size === 0;
    });
    await status(ns, 'app', [6, 6, 4, 2, 'SufficientPods']);
    ended.abort();
    await watching;
    assert.equal(granted, 6);
    assert.ok(fewest >= 4, `only ${fewest} were left`);
  });

  for (const [spec, wanted] of [
    [{ minAvailable: 0 }, [4, 4, 0, 4, 'SufficientPods']],
    [{ minAvailable: '50%' }, [4, 4, 2, 2, 'SufficientPods']],
    [{ minAvailable: '51%' }, [4, 4, 3, 1, 'SufficientPods']],
    [{ minAvailable: '100%' }, [4, 4, 4, 0, 'InsufficientPods']],
    [{ minAvailable: 9 }, [4, 4, 9, 0, 'InsufficientPods']],
    [{ maxUnavailable: 1 }, [4, 4, 3, 1, 'SufficientPods']],
    [{ maxUnavailable: '30%' }, [4, 4, 2, 2, 'SufficientPods']],
    [{ maxUnavailable: 0 }, [4, 4, 4, 0, 'InsufficientPods']],
  ] as const) {
    it(`${JSON.stringify(spec)} of four`, async () => {
      const ns = await namespace();
      await deploy(ns, 'app', 4);
      await budgetOf(ns, 'app', spec);
      await status(ns, 'app', wanted);
    });
  }

  it('are refused while a budget is exhausted, not yet counted, or cannot be counted', async () => {
    const ns = await namespace();
    const [pod] = await deploy(ns, 'app', 1);
    const name = pod?.metadata.name ?? '';
    await budgetOf(ns, 'app', { maxUnavailable: 0 });
    await status(ns, 'app', [1, 1, 1, 0, 'InsufficientPods']);
    assertBudget(await evict(ns, name), 'The disruption budget app needs 1 healthy pods and has 1 currently');
    const dry = await evict(ns, name, { deleteOptions: { dryRun: ['All'] } }, '?dryRun=All');
    assertBudget(dry, 'The disruption budget app needs 1 healthy pods and has 1 currently');
    await client().create(jobs, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'job', namespace: ns },
      spec: {
        template: {
          metadata: { name: '', labels: { app: 'job' } },
          spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.com/job' }] },
        },
      },
    });
    const [ofJob] = await waitFor('the pod of the job', async () => {
      const found = await podsOf(ns, 'job');
      return found[0]?.status?.phase === 'Running' && found;
    });
    await budgetOf(ns, 'job', { maxUnavailable: 1 });
    const why = 'jobs.batch does not implement the scale subresource';
    await waitFor('the failure to be told', async () => {
      const budget = await client().get(podDisruptionBudgets, { namespace: ns, name: 'job' });
      return budget.status?.conditions?.[0]?.message === why;
    });
    const reply = await evict(ns, ofJob?.metadata.name ?? '');
    assertStatus(reply, 429, 'TooManyRequests', /disruption budget/);
  });

  it('of pods that serve nobody are allowed by the policy of the budget', async () => {
    const ns = await namespace();
    unready.add('sick');
    const [first, second] = await deploy(ns, 'sick', 2);
    await budgetOf(ns, 'sick', { minAvailable: 1 });
    await status(ns, 'sick', [2, 0, 1, 0, 'InsufficientPods']);
    assert.equal((await evict(ns, first?.metadata.name ?? '')).status, 429);
    const body = { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } };
    await client().patch(podDisruptionBudgets, { namespace: ns, name: 'sick' }, { type: 'merge', body });
    assert.equal((await evict(ns, second?.metadata.name ?? '')).status, 201);
  });

  it('keep to the preconditions and names that they come with', async () => {
    const ns = await namespace();
    const [pod] = await deploy(ns, 'app', 1);
    const name = pod?.metadata.name ?? '';
    await budgetOf(ns, 'app', { minAvailable: 0 });
    await status(ns, 'app', [1, 1, 0, 1, 'SufficientPods']);
    const deleteOptions = { preconditions: { uid: 'another' } };
    assertStatus(await evict(ns, name, { deleteOptions }), 409, 'Conflict', /UID in precondition: another/);
    await status(ns, 'app', [1, 1, 0, 1, 'SufficientPods']);
    const misnamed = { metadata: { name: 'other' } };
    assertStatus(
      await evict(ns, name, misnamed),
      400,
      'BadRequest',
      'name in URL does not match name in Eviction object',
    );
    const path = `/api/v1/namespaces/${ns}/pods/${name}/eviction`;
    assert.equal((await server.call('GET', path)).status, 405);
  });

  it('of a pod under two budgets are not decided', async () => {
    const ns = await namespace();
    const [pod] = await deploy(ns, 'app', 1);
    await budgetOf(ns, 'app', { minAvailable: 0 });
    await budgetOf(ns, 'all', { minAvailable: 0, selector: {} });
    assertStatus(
      await evict(ns, pod?.metadata.name ?? ''),
      500,
      'InternalError',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  });

  const programs = [...kubectls()].sort(([a], [b]) => a - b);
  // The oldest speaks an older version of the API to the same end as the newest.
  for (const [minor, program] of new Map([...programs.slice(0, 1), ...programs.slice(-1)])) {
    it(`kubectl 1.${minor} drain waits for budgets, spares daemon sets and asks before it loses pods`, async () => {
      const kubectl = async (...args: string[]): Promise<{ code: number; output: string }> => {
        const env = { ...process.env, KUBECONFIG: server.kubeconfig, HOME: server.dir };
        try {
          const { stdout, stderr } = await run(program, args, { env, timeout: 60_000 });
          return { code: 0, output: stdout + stderr };
        } catch (error) {
          const {
            stdout = '',
            stderr = '',
            code = -1,
          } = error as { stdout?: string; stderr?: string; code?: number };
          return { code, output: stdout + stderr };
        }
      };
      const ns = await namespace();
      // Draining looks at all namespaces: labels of its own.
      const app = `drained-${ns}`;
      await deploy(ns, app, 2);
      await budgetOf(ns, app, { maxUnavailable: 1 });
      await status(ns, app, [2, 2, 1, 1, 'SufficientPods']);
      const bare = { name: 'bare', namespace: ns, labels: { app: `bare-${ns}` } };
      const spec = { containers: [{ name: 'main', image: 'example.com/bare' }] };
      await client().create(pods, { apiVersion: 'v1', kind: 'Pod', metadata: bare, spec });
      await waitFor(
        'the pod to be on the node',
        async () => (await podsOf(ns, `bare-${ns}`))[0]?.spec?.nodeName,
      );
      const selector = ['--pod-selector', `app in (${app},bare-${ns})`];
      const refused = await kubectl('drain', 'node-1', ...selector);
      assert.notEqual(refused.code, 0);
      assert.match(refused.output, /cannot delete .*evictions-\d+\/bare/);
      const before = await podsOf(ns, app);
      // The fake node goes on serving: new pods become ready and give the budget back.
      const drained = await kubectl('drain', 'node-1', '--force', ...selector);
      assert.equal(drained.code, 0, drained.output);
      assert.match(drained.output, /evicted/);
      const names = new Set((await podsOf(ns, app)).map(({ metadata }) => metadata.name));
      for (const { metadata } of before)
        assert.ok(!names.has(metadata.name), `${metadata.name} is still there`);
      assert.equal((await podsOf(ns, `bare-${ns}`)).length, 0);
      assert.match((await kubectl('get', 'node', 'node-1')).output, /SchedulingDisabled/);
      assert.match((await kubectl('get', 'pdb', '-n', ns)).output, /drained-\S+ +N\/A +1 +1 /);
      assert.equal((await kubectl('uncordon', 'node-1')).code, 0);
    });
  }
});
