/**
 * Issues X.509 v3 certificates (RFC 5280) for P-256 keys: the few DER forms that a private CA needs, written directly,
 * because a general ASN.1 library costs more start time and memory than the whole API server.
 */
import { createHash, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

export interface DistinguishedName {
  readonly commonName: string;
  /** Several make several groups of a user. */
  readonly organization?: string | readonly string[];
}

export interface CertificateSpec {
  readonly subject: DistinguishedName;
  readonly issuer: DistinguishedName;
  /** The subject's public key. */
  readonly publicKey: KeyObject;
  /** The issuer's keys; the same pair as the subject's for a self-signed CA. */
  readonly issuerPublicKey: KeyObject;
  readonly issuerPrivateKey: KeyObject;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly usage: 'ca' | 'server' | 'client';
  /** Lets old clients send a session key encrypted for the subject's RSA key. */
  readonly keyEncipherment?: boolean;
  /** DNS names and IP addresses (server certificates). */
  readonly hosts?: readonly string[];
}

const oids = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** A certificate in PEM. */
export function issueCertificate(spec: CertificateSpec): string {
  const algorithm = sequence(objectId(oids.ecdsaWithSha256));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    algorithm,
    distinguishedName(spec.issuer),
    sequence(time(spec.notBefore), time(spec.notAfter)),
    distinguishedName(spec.subject),
    spec.publicKey.export({ format: 'der', type: 'spki' }),
    explicit(3, sequence(...extensions(spec))),
  );
  const signature = sign('sha256', body, spec.issuerPrivateKey);
  return pem('CERTIFICATE', sequence(body, algorithm, bitString(signature)));
}

function extensions(spec: CertificateSpec): Buffer[] {
  const isCa = spec.usage === 'ca';
  const out = [
    extension(oids.basicConstraints, true, isCa ? sequence(boolean(true)) : sequence()),
    extension(oids.keyUsage, true, tagged(0x03, keyUsageBits(spec))),
    extension(oids.subjectKeyIdentifier, false, octetString(keyIdentifier(spec.publicKey))),
    extension(
      oids.authorityKeyIdentifier,
      false,
      sequence(tagged(0x80, keyIdentifier(spec.issuerPublicKey))),
    ),
  ];
  if (!isCa) {
    const purpose = spec.usage === 'server' ? oids.serverAuth : oids.clientAuth;
    out.push(extension(oids.extendedKeyUsage, false, sequence(objectId(purpose))));
  }
  if (spec.hosts?.length) {
    out.push(extension(oids.subjectAltName, false, sequence(...spec.hosts.map(generalName))));
  }
  return out;
}

/** Count of unused bits, then bits: digitalSignature for all; keyCertSign and cRLSign for a CA; keyEncipherment if asked. */
function keyUsageBits({ usage, keyEncipherment }: CertificateSpec): Buffer {
  if (usage === 'ca') return Buffer.from([1, 0x86]);
  return Buffer.from(keyEncipherment ? [5, 0xa0] : [7, 0x80]);
}

function generalName(host: string): Buffer {
  return isIP(host) ? tagged(0x87, addressBytes(host)) : tagged(0x82, Buffer.from(host, 'ascii'));
}

/** Network-order bytes of an IPv4 or IPv6 address. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = canonicalIpv6(address).split('::');
  const words = (text: string): number[] =>
    text ? text.split(':').map((word) => Number.parseInt(word, 16)) : [];
  const left = words(head);
  const right = words(tail ?? '');
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

/** The URL parser resolves dotted-quad tails, and writes at most one `::`. */
function canonicalIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** RFC 5280 §4.2.1.2 method 1, over the whole key info: any stable value will do. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest();
}

/** 16 random bytes with the top bit clear, so that the DER integer stays positive. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

function distinguishedName(name: DistinguishedName): Buffer {
  const attribute = (oid: string, value: string): Buffer =>
    tagged(0x31, sequence(objectId(oid), tagged(0x0c, Buffer.from(value))));
  const organizations = [name.organization ?? []].flat();
  const parts = organizations.map((organization) => attribute(oids.organization, organization));
  return sequence(...parts, attribute(oids.commonName, name.commonName));
}

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectId(oid), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** UTCTime until 2049, GeneralizedTime afterwards (RFC 5280 §4.1.2.5). */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return new Date(ms).getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(`${digits.slice(2)}Z`))
    : tagged(0x18, Buffer.from(`${digits}Z`));
}

function tagged(tag: number, body: Buffer): Buffer {
  const { length } = body;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body]);
  const size: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) size.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length, ...size]), body]);
}

const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
const explicit = (number: number, body: Buffer): Buffer => tagged(0xa0 | number, body);
const integer = (bytes: Buffer): Buffer => tagged(0x02, bytes);
const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));
const octetString = (bytes: Buffer): Buffer => tagged(0x04, bytes);
const bitString = (bytes: Buffer): Buffer => tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const digits = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...digits);
  }
  return tagged(0x06, Buffer.from(bytes));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
