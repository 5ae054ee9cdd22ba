import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeKeyring } from '../../src/image/client/keyring.ts';
import { parseReference } from '../../src/image/reference.ts';

const config = (...places: string[]): string =>
  JSON.stringify({
    auths: Object.fromEntries(places.map((place) => [place, { username: place, password: 'secret' }])),
  });

describe('a keyring', () => {
  const cases: [string[], string, string | undefined][] = [
    [['ghcr.io'], 'ghcr.io/a/b:1', 'ghcr.io'],
    [['ghcr.io'], 'quay.io/a/b', undefined],
    [['ghcr.io', 'ghcr.io/a'], 'ghcr.io/a/b', 'ghcr.io/a'],
    [['ghcr.io', 'ghcr.io/a'], 'ghcr.io/ab', 'ghcr.io'],
    [['ghcr.io/a/b'], 'ghcr.io/a/b@sha256:' + '0'.repeat(64), 'ghcr.io/a/b'],
    [['ghcr.io/a/b'], 'ghcr.io/a', undefined],
    [['*.example.com'], 'eu.example.com/x', '*.example.com'],
    [['*.example.com'], 'example.com/x', undefined],
    [['*.example.com'], 'a.b.example.com/x', undefined],
    [['r*y.e*.com'], 'registry.example.com/x', 'r*y.e*.com'],
    [['r*x*y.com'], 'registry.com/x', undefined],
    [['aa*a.com'], 'aa.com/x', undefined],
    [['localhost:5000'], 'localhost:5000/x', 'localhost:5000'],
    [['localhost'], 'localhost:5000/x', undefined],
    [['user.example.com'], 'userXexample.com/x', undefined],
  ];
  for (const [places, image, found] of cases) {
    it(`of ${places.join(' and ')} has ${found ?? 'nothing'} for ${image.slice(0, 40)}`, () => {
      const credentials = makeKeyring([config(...places)])(parseReference(image));
      assert.equal(credentials?.username, found);
    });
  }

  it('knows Docker Hub by its old names', () => {
    for (const place of ['https://index.docker.io/v1/', 'registry-1.docker.io', 'docker.io']) {
      const auth = { username: 'me', password: 'x' };
      const keyring = makeKeyring([JSON.stringify({ auths: { [place]: auth } })]);
      assert.deepEqual(keyring(parseReference('node')), auth, place);
    }
  });

  it('takes the first of equal entries, and nothing from damaged texts', () => {
    const auth = (username: string): string =>
      JSON.stringify({ auths: { 'a.io': { username, password: 'x' } } });
    const keyring = makeKeyring(['{', 'null', '{"auths":{"a.io":7}}', auth('first'), auth('second')]);
    assert.equal(keyring(parseReference('a.io/x'))?.username, 'first');
  });

  it('is quick with patterns that are made to be slow', () => {
    const keyring = makeKeyring([config(`${'*a'.repeat(100)}b`)]);
    assert.equal(keyring(parseReference(`${'a'.repeat(200)}:1/x`)), undefined);
  });
});
