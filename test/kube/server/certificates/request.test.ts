import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parseCertificateRequest } from '../../../../src/kube/server/certificates/request.ts';
import { signRequest } from '../../../../src/kube/server/certificates/signers.ts';
import { ensurePki } from '../../../../src/kube/server/pki.ts';

const read = (name: string): string => readFileSync(new URL(`fixtures/${name}.csr`, import.meta.url), 'utf8');
const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;

function parsed(pem: string) {
  const request = parseCertificateRequest(pem);
  assert.ok(!('fault' in request), JSON.stringify(request));
  return request;
}

describe('certificate requests', () => {
  it('reads keys of each kind, names and groups', () => {
    assert.deepEqual(parsed(read('jane')).subject, { commonName: 'jane', organizations: ['devs', 'ops'] });
    assert.equal(parsed(read('rsa')).publicKey.asymmetricKeyType, 'rsa');
    assert.equal(parsed(read('ed25519')).publicKey.asymmetricKeyType, 'ed25519');
    const { dnsNames, ipAddresses, subject } = parsed(read('kubelet'));
    assert.deepEqual(subject, { commonName: 'system:node:n1', organizations: ['system:nodes'] });
    assert.deepEqual([dnsNames, ipAddresses], [['n1.local'], ['10.0.0.7', 'fd00:0:0:0:0:0:0:7']]);
  });

  it('refuses what is no request', () => {
    const refused: [string, RegExp][] = [
      ['', /PEM block type must be CERTIFICATE REQUEST/],
      ['hello', /PEM block type/],
      [read('jane').replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE'), /PEM block type/],
      [pemOf(Buffer.from([0x30, 0x80])), /no form of DER/],
      [pemOf(Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff])), /longer than what contains it/],
      [pemOf(Buffer.alloc(60_000, 0x30)), /malformed/],
      [pemOf(Buffer.concat([derOf(read('jane')), Buffer.from([0])])), /behind the last item/],
    ];
    for (const [text, fault] of refused) {
      const request = parseCertificateRequest(text);
      assert.ok('fault' in request, text.slice(0, 80));
      assert.match(request.fault, fault);
    }
  });

  it('accepts no request in which a single bit is not as it was signed', () => {
    const der = derOf(read('jane'));
    for (let at = 0; at < der.length * 8; at++) {
      const changed = Buffer.from(der);
      changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
      assert.ok('fault' in parseCertificateRequest(pemOf(changed)), `bit ${at}`);
    }
  });

  it('is quick about a text without an end', () => {
    const began = performance.now();
    const hostile = [' ', '\n', 'A\n', '-----BEGIN A-----\n'].flatMap((part) => [
      `-----BEGIN CERTIFICATE REQUEST-----${part.repeat(131_072 / part.length)}`,
      part.repeat(131_072 / part.length),
    ]);
    for (const text of hostile) assert.ok('fault' in parseCertificateRequest(text));
    // Time by the square of the length would be minutes.
    assert.ok(performance.now() - began < 2000);
    const padded = `\n \n${read('jane').replace('\n', '\r\n \n')}\n\n`;
    assert.equal(parsed(padded).subject.commonName, 'jane');
  });

  it('never throws, whatever it is given', () => {
    const der = derOf(read('kubelet'));
    const spliced = fc
      .tuple(fc.nat(der.length), fc.nat(der.length), fc.uint8Array({ maxLength: 40 }))
      .map(([from, length, middle]) =>
        Buffer.concat([der.subarray(0, from), middle, der.subarray(from + length)]),
      );
    fc.assert(
      fc.property(fc.oneof(spliced, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const request = parseCertificateRequest(pemOf(Buffer.from(bytes)));
        assert.ok('fault' in request || Buffer.from(bytes).equals(der));
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.string(), (text) => 'fault' in parseCertificateRequest(text)));
  });
});

describe('signers', () => {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-signers-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  const pki = ensurePki(dir);
  const now = Date.now();
  const sign = (name: string, signerName: string, usages: string[], expirationSeconds?: number) =>
    signRequest(
      {
        request: Buffer.from(read(name)).toString('base64'),
        signerName,
        usages,
        ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
      },
      (request) => pki.issueFor(request),
      now,
    );
  const apiClient = 'kubernetes.io/kube-apiserver-client';
  const serving = 'kubernetes.io/kubelet-serving';

  it('certify a user for as long as asked', () => {
    const outcome = sign('jane', apiClient, ['client auth', 'digital signature'], 3600);
    assert.ok(outcome && 'certificate' in outcome);
    const certificate = new X509Certificate(outcome.certificate);
    assert.ok(certificate.verify(new X509Certificate(pki.ca.cert).publicKey));
    assert.equal(certificate.subject, 'O=devs\nO=ops\nCN=jane');
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    const left = Date.parse(certificate.validTo) - now;
    assert.ok(left > 3_598_000 && left <= 3_600_000, String(left));
  });

  it('certify keys of other kinds, and names of a server', () => {
    for (const name of ['rsa', 'ed25519']) {
      const outcome = sign(name, apiClient, ['client auth', 'key encipherment']);
      assert.ok(outcome && 'certificate' in outcome, name);
    }
    const outcome = sign('kubelet', serving, ['server auth']);
    assert.ok(outcome && 'certificate' in outcome);
    const certificate = new X509Certificate(outcome.certificate);
    assert.equal(certificate.checkHost('n1.local'), 'n1.local');
    assert.equal(certificate.checkIP('fd00::7'), 'fd00::7');
  });

  it('never certify longer than the authority lives', () => {
    const outcome = sign('jane', apiClient, ['client auth'], 2 ** 31 - 1);
    assert.ok(outcome && 'certificate' in outcome);
    assert.equal(new X509Certificate(outcome.certificate).validTo, new X509Certificate(pki.ca.cert).validTo);
  });

  it('refuse what is not for them, and leave what is not theirs', () => {
    const refusals: [string, string, string[], RegExp][] = [
      ['jane', apiClient, ['server auth'], /usages did not match/],
      ['jane', apiClient, ['client auth', 'cert sign'], /usages did not match/],
      ['jane', serving, ['server auth'], /organization is not system:nodes/],
      [
        'kubelet',
        'kubernetes.io/kube-apiserver-client-kubelet',
        ['client auth'],
        /subjectAltNames are not allowed/,
      ],
    ];
    for (const [name, signer, usages, why] of refusals) {
      const outcome = sign(name, signer, usages);
      assert.ok(outcome && 'refusal' in outcome, `${name} ${signer}`);
      assert.match(outcome.refusal, why);
    }
    assert.equal(sign('jane', 'example.com/mine', ['client auth']), undefined);
  });
});
