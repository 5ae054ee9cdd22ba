/** Authentication by client certificates of the platform's own CA (Kubernetes X.509 authentication). */
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { authenticatedGroup, credentialIdKey, type User } from './user.ts';

/** What a connection's certificate says, looked at once: parsing one costs more than most requests. */
interface Presented {
  readonly user: User | undefined;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

export class CertificateAuthenticator {
  readonly #seen = new WeakMap<TLSSocket, Presented>();

  /**
   * The user of the connection's certificate: its CN, and its Os as groups. Undefined without a certificate, and
   * `refused` for one that is not of our CA, names nobody, or has ended while the connection lasted.
   */
  authenticate(socket: TLSSocket, now: number): User | 'refused' | undefined {
    let presented = this.#seen.get(socket);
    if (!presented) {
      const certificate = socket.getPeerCertificate() as Partial<DetailedPeerCertificate>;
      if (certificate.raw === undefined) presented = { user: undefined, notAfter: 0 };
      else presented = read(certificate as PeerCertificate, socket.authorized);
      this.#seen.set(socket, presented);
    }
    if (presented.notAfter === 0) return undefined;
    return presented.user && presented.notAfter > now ? presented.user : 'refused';
  }
}

function read(certificate: PeerCertificate, authorized: boolean): Presented {
  const notAfter = Date.parse(certificate.valid_to) || 1;
  const common: string | string[] | undefined = certificate.subject?.CN;
  const name = Array.isArray(common) ? common[0] : common;
  if (!authorized || !name) return { user: undefined, notAfter };
  const organizations: string | string[] | undefined = certificate.subject.O;
  const groups = organizations === undefined ? [] : [organizations].flat();
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return {
    user: {
      name,
      groups: [...groups, authenticatedGroup],
      extra: { [credentialIdKey]: [`X509SHA256=${fingerprint}`] },
    },
    notAfter,
  };
}
