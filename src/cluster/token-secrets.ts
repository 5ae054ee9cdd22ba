/**
 * Secrets of type `kubernetes.io/service-account-token` are filled with a token of the account that they name, and go
 * with it (kubernetes pkg/controller/serviceaccount tokens controller). For clients from before TokenRequest.
 */
import { secrets, serviceAccounts, type Secret, type ServiceAccount } from '../api/kubernetes/core.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';

export const tokenSecretType = 'kubernetes.io/service-account-token';
const nameAnnotation = 'kubernetes.io/service-account.name';
const uidAnnotation = 'kubernetes.io/service-account.uid';

export interface TokenSecretOptions {
  /** A token for as long as the Secret holds it. */
  issue(claims: {
    readonly namespace: string;
    readonly account: { readonly name: string; readonly uid: string };
    readonly secretName: string;
  }): string;
  /** PEM certificate of the authority that signed the API's certificate. */
  readonly rootCertificate: string;
}

export function tokenSecretController(env: ControllerEnv, options: TokenSecretOptions): Controller {
  return new TokenSecretController(env, options);
}

class TokenSecretController implements Controller {
  readonly name = 'token-secret';
  readonly root = secrets;
  readonly watches;
  readonly #env: ControllerEnv;
  readonly #options: TokenSecretOptions;
  readonly #secrets: Informer<Secret>;
  readonly #accounts: Informer<ServiceAccount>;

  constructor(env: ControllerEnv, options: TokenSecretOptions) {
    this.#env = env;
    this.#options = options;
    this.#secrets = env.informers.for(secrets);
    this.#accounts = env.informers.for(serviceAccounts);
    this.watches = [
      watches(serviceAccounts, ({ metadata: { namespace = '', name } }) =>
        this.#secrets
          .list({ namespace })
          .filter((secret) => isFor(secret, name))
          .map((secret) => `${namespace}/${secret.metadata.name}`),
      ),
    ];
  }

  async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
    const secret = this.#secrets.get(`${namespace}/${name}`);
    if (secret?.type !== tokenSecretType || secret.metadata.deletionTimestamp) return;
    const accountName = secret.metadata.annotations?.[nameAnnotation] ?? '';
    const account = this.#accounts.get(`${namespace}/${accountName}`);
    const wantedUid = secret.metadata.annotations?.[uidAnnotation];
    const uid = account?.metadata.uid ?? '';
    try {
      // The account that the token spoke for is no more: neither is the Secret.
      if (!account || (wantedUid !== undefined && wantedUid !== uid)) await this.#remove(secret);
      else await this.#fill(secret, { name: accountName, uid });
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  async #remove({ metadata }: Secret): Promise<void> {
    const { name, namespace = '', uid = '' } = metadata;
    // An account that the cache does not show yet may have been made just before its Secret.
    const account = metadata.annotations?.[nameAnnotation] ?? '';
    if (metadata.annotations?.[uidAnnotation] === undefined && account !== '') {
      const found = await this.#env.client.get(serviceAccounts, { namespace, name: account }).then(
        () => true,
        (error: unknown) => {
          if (isNotFound(error)) return false;
          throw error;
        },
      );
      if (found) return;
    }
    await this.#env.client.delete(secrets, { namespace, name }, { preconditions: { uid } });
  }

  async #fill(secret: Secret, account: { name: string; uid: string }): Promise<void> {
    const { namespace = '', name } = secret.metadata;
    const { rootCertificate } = this.#options;
    const encode = (text: string): string => Buffer.from(text).toString('base64');
    const data = {
      ...secret.data,
      'ca.crt': encode(rootCertificate),
      namespace: encode(namespace),
      token: secret.data?.['token'] ?? encode(this.#options.issue({ namespace, account, secretName: name })),
    };
    const annotations = { ...secret.metadata.annotations, [uidAnnotation]: account.uid };
    const isFilled =
      Object.entries(data).every(([key, value]) => secret.data?.[key] === value) &&
      secret.metadata.annotations?.[uidAnnotation] === account.uid;
    if (isFilled) return;
    await this.#env.client.update(secrets, {
      ...secret,
      metadata: { ...secret.metadata, annotations },
      data,
    });
  }
}

function isFor(secret: Secret, account: string): boolean {
  return secret.type === tokenSecretType && secret.metadata.annotations?.[nameAnnotation] === account;
}
