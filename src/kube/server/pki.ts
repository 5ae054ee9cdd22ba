/** The platform's own certificate authority and the certificates it needs to start: kept in files, renewed in time. */
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemCode } from '../../base/errors.ts';
import { issueCertificate, type CertificateSpec, type DistinguishedName } from './x509.ts';

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface Pki {
  readonly ca: KeyPair;
  /** Serves the API; its names are `serverHosts`. */
  readonly server: KeyPair;
  /** CN `system:admin`, O `system:masters`. */
  readonly admin: KeyPair;
  /** Issues a client certificate for a user, e.g. a component's identity; not kept in a file. */
  issueClient(subject: DistinguishedName): KeyPair;
  /** A certificate for a key that someone else holds, PEM. It never outlives the CA. */
  issueFor(request: IssueRequest): string;
}

export interface IssueRequest extends Pick<
  CertificateSpec,
  'subject' | 'publicKey' | 'usage' | 'keyEncipherment' | 'hosts'
> {
  /** Milliseconds. */
  readonly lifetime: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const day = 24 * 3600 * 1000;
const caLifetime = 10 * 365 * day;
const leafLifetime = 365 * day;
/** A certificate with less than this left is issued anew at start. */
const renewBefore = 30 * day;
/** Tolerates a clock that is set back a little after issuing. */
const backdate = 5 * 60 * 1000;

const caName: DistinguishedName = { commonName: 'knapsack-ca', organization: 'knapsack' };

/** Names that in-cluster clients and people use for the API server. */
const serverHosts = [
  'localhost',
  '127.0.0.1',
  '::1',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
];

/**
 * Loads the certificates under `dir` (`<data>/pki`), issuing what is missing, near its end, unreadable, or lacks a
 * wanted name. Keys are readable by their owner alone. `hosts` are further DNS names and addresses of the server.
 */
export function ensurePki(dir: string, options: { hosts?: readonly string[]; now?: number } = {}): Pki {
  const now = options.now ?? Date.now();
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const hosts = [...new Set([...serverHosts, hostname(), ...(options.hosts ?? [])])].filter(isHostName);

  const ca = ensure(join(dir, 'ca'), {
    usable: (cert) => cert.ca && cert.checkIssued(cert) && hasTimeLeft(cert, now),
    issue: () => issue({ subject: caName, usage: 'ca', now, lifetime: caLifetime }),
  });
  const caCert = new X509Certificate(ca.cert);
  const isOurs = (cert: X509Certificate): boolean =>
    cert.checkIssued(caCert) && cert.verify(caCert.publicKey) && hasTimeLeft(cert, now);

  const server = ensure(join(dir, 'server'), {
    usable: (cert) => isOurs(cert) && hosts.every((host) => covers(cert, host)),
    issue: () => issue({ subject: { commonName: 'knapsack-apiserver' }, usage: 'server', hosts, ca, now }),
  });
  const admin = ensure(join(dir, 'admin'), {
    usable: isOurs,
    issue: () =>
      issue({
        subject: { commonName: 'system:admin', organization: 'system:masters' },
        usage: 'client',
        ca,
        now,
      }),
  });
  return {
    ca,
    server,
    admin,
    issueClient: (subject) => issue({ subject, usage: 'client', ca, now: Date.now() }),
    issueFor: ({ lifetime, now: from, ...request }) =>
      issueCertificate({
        ...request,
        issuer: caName,
        issuerPublicKey: caCert.publicKey,
        issuerPrivateKey: createPrivateKey(ca.key),
        notBefore: from - backdate,
        notAfter: Math.min(from + lifetime, Date.parse(caCert.validTo)),
      }),
  };
}

/** A machine's name may hold characters that no certificate can carry. */
function isHostName(host: string): boolean {
  return /^[A-Za-z0-9.:-]+$/.test(host);
}

function covers(cert: X509Certificate, host: string): boolean {
  return (isIP(host) ? cert.checkIP(host) : cert.checkHost(host)) !== undefined;
}

function hasTimeLeft(cert: X509Certificate, now: number): boolean {
  return Date.parse(cert.validTo) - now > renewBefore && Date.parse(cert.validFrom) <= now;
}

function ensure(
  path: string,
  options: { usable: (cert: X509Certificate) => boolean; issue: () => KeyPair },
): KeyPair {
  const kept = load(path);
  if (kept && options.usable(new X509Certificate(kept.cert))) return kept;
  const fresh = options.issue();
  // The key first: a crash in between leaves a pair that does not match, which `load` refuses.
  save(`${path}.key`, fresh.key, 0o600);
  save(`${path}.crt`, fresh.cert, 0o644);
  return fresh;
}

/** The pair in `<path>.crt` and `<path>.key`, or undefined when it is absent, damaged or does not belong together. */
function load(path: string): KeyPair | undefined {
  try {
    const pair = { cert: readFileSync(`${path}.crt`, 'utf8'), key: readFileSync(`${path}.key`, 'utf8') };
    const matches = new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key));
    return matches ? pair : undefined;
  } catch (error) {
    // Anything but a missing or damaged file (no permission, say) must be seen, not papered over by a new CA.
    const code = systemCode(error);
    if (code === undefined || code === 'ENOENT' || code.startsWith('ERR_')) return undefined;
    throw error;
  }
}

function save(path: string, text: string, mode: number): void {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}

function issue(options: {
  subject: DistinguishedName;
  usage: CertificateSpec['usage'];
  hosts?: readonly string[];
  /** Absent: self-signed. */
  ca?: KeyPair;
  now: number;
  lifetime?: number;
}): KeyPair {
  const { subject, usage, hosts, ca, now } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const cert = issueCertificate({
    subject,
    issuer: caName,
    publicKey,
    issuerPublicKey: ca ? createPublicKey(ca.cert) : publicKey,
    issuerPrivateKey: ca ? createPrivateKey(ca.key) : privateKey,
    notBefore: now - backdate,
    notAfter: now + (options.lifetime ?? leafLifetime),
    usage,
    ...(hosts ? { hosts } : {}),
  });
  // The one form that says in its first line what it holds: Java clients take anything else for RSA.
  return { cert, key: privateKey.export({ format: 'pem', type: 'sec1' }).toString() };
}
