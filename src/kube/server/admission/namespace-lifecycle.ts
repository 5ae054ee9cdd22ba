/** Namespaces that a cluster cannot be without (apiserver pkg/admission/plugin/namespace/lifecycle). */
import { forbidden } from '../service/errors.ts';
import { isNamespace } from '../service/deletion.ts';
import type { AdmissionPlugin } from '../service/admission-plugin.ts';

const immortal = new Set(['default', 'kube-system', 'kube-public']);

export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  validate({ operation, def, name }) {
    if (operation !== 'DELETE' || !isNamespace(def) || !immortal.has(name)) return;
    throw forbidden(def, name, 'this namespace may not be deleted');
  },
};
