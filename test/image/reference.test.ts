import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { KnapsackError } from '../../src/base/errors.ts';
import { formatReference, isRepository, isTag, parseReference } from '../../src/image/reference.ts';
import { withCode } from './support.ts';

const sha = `sha256:${'a'.repeat(64)}`;

describe('image names', () => {
  const normalised: [string, string][] = [
    ['node', 'docker.io/library/node:latest'],
    ['node:24', 'docker.io/library/node:24'],
    ['bianlian/helloworld-nodejs', 'docker.io/bianlian/helloworld-nodejs:latest'],
    ['docker.io/node', 'docker.io/library/node:latest'],
    ['index.docker.io/bianlian/x:1', 'docker.io/bianlian/x:1'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/a/b:v1', 'localhost:5000/a/b:v1'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    ['127.0.0.1:80/a/b/c', '127.0.0.1:80/a/b/c:latest'],
    ['gcr.io/p/i@' + sha, 'gcr.io/p/i@' + sha],
    ['gcr.io/p/i:t@' + sha, 'gcr.io/p/i:t@' + sha],
    ['Registry/x', 'Registry/x:latest'],
    ['a__b/c-d.e', 'docker.io/a__b/c-d.e:latest'],
    ['a--b', 'docker.io/library/a--b:latest'],
  ];
  for (const [written, full] of normalised) {
    it(`${written} is ${full}`, () => assert.equal(formatReference(parseReference(written)), full));
  }

  const refused: [string, RegExp][] = [
    ['', /repository path/],
    ['a b', /repository path/],
    ['foo/Bar', /lower-case/],
    ['foo:', /not a tag/],
    ['foo:.x', /not a tag/],
    [`foo:${'x'.repeat(129)}`, /not a tag/],
    ['foo@sha256:abc', /not a sha256 or sha512 digest/],
    [`foo@md5:${'a'.repeat(32)}`, /not a sha256 or sha512 digest/],
    ['a'.repeat(64).replaceAll('a', 'f'), /image ID/],
    ['../x', /host name/],
    ['a/../b', /repository path/],
    ['/x', /repository path/],
    ['x/', /repository path/],
    ['a___b', /repository path/],
    ['-x.io/a', /host name/],
    ['x:port/a', /host name/],
    [`r.io/${'a'.repeat(260)}`, /longer than 255/],
    ['x'.repeat(2000), /longer than 1024/],
  ];
  for (const [written, why] of refused) {
    it(`refuses ${JSON.stringify(written.slice(0, 40))}`, () => {
      assert.throws(() => parseReference(written), withCode('IMAGE_NAME_INVALID', why));
    });
  }

  it('never fails in another way, and its full form means the same again', () => {
    const alphabet = fc.string({
      unit: fc.constantFrom(...'abzAZ019.-_/:@[]% \0é'.split('')),
      maxLength: 60,
    });
    fc.assert(
      fc.property(fc.oneof(fc.string(), alphabet), (text) => {
        let reference;
        try {
          reference = parseReference(text);
        } catch (error) {
          assert.ok(error instanceof KnapsackError && error.code === 'IMAGE_NAME_INVALID');
          return;
        }
        assert.ok(isRepository(reference.repository));
        assert.ok(reference.tag === undefined || isTag(reference.tag));
        assert.deepEqual(parseReference(formatReference(reference)), reference);
      }),
      { numRuns: 3000 },
    );
  });
});
