/**
 * Pods put up with a node that is not ready or not reachable for five minutes, unless they say otherwise (kubernetes
 * plugin/pkg/admission/defaulttolerationseconds).
 */
import { pods } from '../../../api/kubernetes/pods.ts';
import type { Pod } from '../../../api/pods.ts';
import type { AdmissionPlugin } from '../service/admission-plugin.ts';

const troubles = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
const patienceSeconds = 300;

export const defaultTolerations: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  mutate({ def, subresource, operation, object }) {
    if (subresource || def.group !== pods.group || def.plural !== pods.plural) return;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return;
    const pod = object as unknown as Pod | undefined;
    if (!pod?.spec) return;
    const { tolerations = [] } = pod.spec;
    const missing = troubles.filter(
      (trouble) =>
        !tolerations.some(
          // Without a key, every taint is meant.
          ({ key, effect }) => (!key || key === trouble) && (!effect || effect === 'NoExecute'),
        ),
    );
    if (missing.length === 0) return;
    const added = missing.map((key) => ({
      key,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: patienceSeconds,
    }));
    pod.spec.tolerations = [...tolerations, ...added];
  },
};
