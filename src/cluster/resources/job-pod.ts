import type { Job } from '../../api/kubernetes/batch.ts';
import type { PodTemplateSpec } from '../../api/kubernetes/pod-defaults.ts';
import type { Container, Pod } from '../../api/pods.ts';
import type { WantedPod } from '../job-decisions.ts';
import { failureCountAnnotation, ignoredCountAnnotation, indexKey, trackingFinalizer } from '../job-pods.ts';
import { makePod } from './pod.ts';

/** Longest stem of a pod's name that leaves room for its index and its suffix. */
const maxStem = 57;

/** A pod of the Job. One of an Indexed Job has its index in annotation, label, host name and environment. */
export function makeJobPod(job: Job, { index, failures, ignored }: WantedPod): Pod {
  const template: PodTemplateSpec = job.spec?.template ?? {};
  const finalizers = [...new Set([...(template.metadata?.finalizers ?? []), trackingFinalizer])];
  if (index === undefined) {
    const pod = makePod(job, template);
    return { ...pod, metadata: { ...pod.metadata, finalizers } };
  }
  const { name } = job.metadata;
  const pod = makePod(job, template, `${name.slice(0, maxStem - String(index).length - 1)}-${index}`);
  const { containers = [], initContainers } = template.spec ?? {};
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      finalizers,
      labels: { ...pod.metadata.labels, [indexKey]: String(index) },
      annotations: {
        ...pod.metadata.annotations,
        [indexKey]: String(index),
        ...(failures === undefined ? {} : { [failureCountAnnotation]: String(failures) }),
        ...(ignored === undefined ? {} : { [ignoredCountAnnotation]: String(ignored) }),
      },
    },
    spec: {
      ...template.spec,
      hostname: `${name}-${index}`,
      containers: containers.map(withIndex),
      ...(initContainers ? { initContainers: initContainers.map(withIndex) } : {}),
    },
  };
}

const indexVariable = 'JOB_COMPLETION_INDEX';

/** A variable of that name in the template stays as it is. */
function withIndex(container: Container): Container {
  const env = container.env ?? [];
  if (env.some((variable) => variable.name === indexVariable)) return container;
  const fieldRef = { fieldPath: `metadata.labels['${indexKey}']` };
  return { ...container, env: [...env, { name: indexVariable, valueFrom: { fieldRef } }] };
}
