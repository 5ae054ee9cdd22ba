/** Certificate requests (PKCS #10, RFC 2986) as people and kubelets make them. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { messageOf } from '../../../base/errors.ts';
import { DerError, DerReader, derTags, readBitString, readObjectId } from './der.ts';

export interface CertificateRequest {
  readonly subject: {
    readonly commonName: string;
    readonly organizations: readonly string[];
  };
  readonly publicKey: KeyObject;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

/** More than the largest RSA request with hundreds of names. */
const maxBytes = 64 * 1024;

const oids = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  extensionRequest: '1.2.840.113549.1.9.14',
  subjectAltName: '2.5.29.17',
} as const;

/** Signature algorithms by OID, with the hash that `verify` takes; Ed25519 brings its own. */
const algorithms: ReadonlyMap<string, string | null> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.3.101.112', null],
]);

/** Why the text is no certificate request, or what it says. The signature is checked: the sender has the key. */
export function parseCertificateRequest(pem: string): CertificateRequest | { readonly fault: string } {
  // No two neighbours of the pattern may match the same character: trying again would take time by the square.
  const block = /^-----BEGIN ([A-Z ]+)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----$/.exec(
    pem.slice(0, 2 * maxBytes).trim(),
  );
  if (block?.[1] !== 'CERTIFICATE REQUEST' && block?.[1] !== 'NEW CERTIFICATE REQUEST') {
    return { fault: 'PEM block type must be CERTIFICATE REQUEST' };
  }
  try {
    return readRequest(Buffer.from(block[2] ?? '', 'base64'));
  } catch (error) {
    return { fault: `malformed certificate request: ${messageOf(error)}` };
  }
}

function readRequest(der: Buffer): CertificateRequest {
  const outer = new DerReader(der);
  const parts = outer.inside(derTags.sequence);
  outer.end();
  const info = parts.next(derTags.sequence);
  const algorithm = readObjectId(parts.inside(derTags.sequence).next(derTags.objectId).content);
  const signature = readBitString(parts.next(derTags.bitString).content);
  parts.end();

  const reader = new DerReader(info.content);
  const version = reader.next(derTags.integer).content;
  if (version.length !== 1 || version[0] !== 0) throw new DerError('the version is not 0');
  const subject = readName(reader.inside(derTags.sequence));
  const key = reader.next(derTags.sequence).whole;
  const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
  const names = reader.isAtEnd ? noNames() : readAttributes(reader.inside(0xa0));
  reader.end();

  const hash = algorithms.get(algorithm);
  if (hash === undefined) throw new DerError(`signature algorithm ${algorithm} is not supported`);
  if (!verify(hash, info.whole, publicKey, signature)) throw new DerError('the signature does not fit');
  return { subject, publicKey, ...names };
}

function readName(name: DerReader): CertificateRequest['subject'] {
  let commonName = '';
  const organizations: string[] = [];
  while (!name.isAtEnd) {
    const set = name.inside(derTags.set);
    while (!set.isAtEnd) {
      const attribute = set.inside(derTags.sequence);
      const type = readObjectId(attribute.next(derTags.objectId).content);
      const value = attribute.next();
      attribute.end();
      if (type === oids.commonName) commonName = readText(value.tag, value.content);
      else if (type === oids.organization) organizations.push(readText(value.tag, value.content));
    }
  }
  return { commonName, organizations };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** UTF8String, PrintableString, T61String (read as Latin-1, as everyone does) and IA5String. */
function readText(tag: number, content: Buffer): string {
  switch (tag) {
    case 0x0c:
      return utf8.decode(content);
    case 0x13:
    case 0x14:
    case 0x16:
      return content.toString('latin1');
    default:
      throw new DerError(`a name is written as 0x${tag.toString(16)}, which is not supported`);
  }
}

type Names = Pick<CertificateRequest, 'dnsNames' | 'ipAddresses' | 'emails' | 'uris'>;

function noNames(): Names {
  return { dnsNames: [], ipAddresses: [], emails: [], uris: [] };
}

function readAttributes(attributes: DerReader): Names {
  let names = noNames();
  while (!attributes.isAtEnd) {
    const attribute = attributes.inside(derTags.sequence);
    const type = readObjectId(attribute.next(derTags.objectId).content);
    const values = attribute.inside(derTags.set);
    if (type !== oids.extensionRequest) continue;
    const extensions = values.inside(derTags.sequence);
    while (!extensions.isAtEnd) {
      const extension = extensions.inside(derTags.sequence);
      const id = readObjectId(extension.next(derTags.objectId).content);
      let value = extension.next();
      // A boolean `critical` may stand in between.
      if (value.tag === 0x01) value = extension.next();
      if (value.tag !== derTags.octetString) throw new DerError('an extension has no value');
      if (id === oids.subjectAltName) names = readAltNames(new DerReader(value.content));
    }
  }
  return names;
}

function readAltNames(value: DerReader): Names {
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  const emails: string[] = [];
  const uris: string[] = [];
  const names = value.inside(derTags.sequence);
  while (!names.isAtEnd) {
    const { tag, content } = names.next();
    if (tag === 0x81) emails.push(content.toString('latin1'));
    else if (tag === 0x82) dnsNames.push(content.toString('latin1'));
    else if (tag === 0x86) uris.push(content.toString('latin1'));
    else if (tag === 0x87) ipAddresses.push(readAddress(content));
    else throw new DerError(`an alternative name of form 0x${tag.toString(16)} is not supported`);
  }
  return { dnsNames, ipAddresses, emails, uris };
}

function readAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new DerError('an IP address has neither 4 nor 16 bytes');
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push(bytes.readUInt16BE(i).toString(16));
  return words.join(':');
}
