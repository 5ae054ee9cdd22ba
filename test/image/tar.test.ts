import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { extract } from 'tar-stream';
import { KnapsackError } from '../../src/base/errors.ts';
import { readTar } from '../../src/image/tar-read.ts';
import { tarHeader, tarPadding, tarTrailer, type TarEntry } from '../../src/image/tar-write.ts';
import { makeTar, withCode } from './support.ts';

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(
  bytes: Uint8Array,
  size = 1 << 16,
): Promise<{ path: string; type: string; link: string; text: string }[]> {
  const items = [];
  for await (const item of readTar(chunked(bytes, size))) {
    const { header } = item;
    let text = '';
    for await (const part of item.content()) text += part.toString('utf8');
    items.push({ path: header.path, type: header.type, link: header.link, text });
  }
  return items;
}

function write(entries: readonly (Omit<TarEntry, 'size'> & { text?: string })[]): Buffer {
  const parts = entries.flatMap(({ text = '', ...entry }) => {
    const bytes = Buffer.from(text);
    return [tarHeader({ ...entry, size: bytes.length }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, tarTrailer]);
}

describe('tar', () => {
  it('writes what another reader reads', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(120)}`;
    const bytes = write([
      { path: 'a', type: 'directory', mode: 0o1777 },
      { path: 'a/ü', type: 'file', mode: 0o755, text: 'hello' },
      { path: long, type: 'file', mode: 0o644, text: 'x'.repeat(1025) },
      { path: 'l', type: 'symlink', mode: 0o777, link: `../${long}` },
      { path: 'h', type: 'hardlink', mode: 0o644, link: 'a/ü' },
    ]);
    const seen: { name: string; type: unknown; mode: unknown; link: unknown; size: unknown }[] = [];
    const reader = extract();
    reader.on('entry', (header, stream, next) => {
      const { name, type, mode, linkname, size } = header;
      seen.push({ name, type, mode, link: linkname ?? undefined, size });
      assert.equal(header.mtime?.getTime(), 0);
      stream.resume().on('end', next);
    });
    const ended = new Promise<void>((resolve, reject) => {
      reader.on('finish', resolve).on('error', reject);
    });
    reader.end(bytes);
    await ended;
    assert.deepEqual(seen, [
      { name: 'a/', type: 'directory', mode: 0o1777, link: undefined, size: 0 },
      { name: 'a/ü', type: 'file', mode: 0o755, link: undefined, size: 5 },
      { name: long, type: 'file', mode: 0o644, link: undefined, size: 1025 },
      { name: 'l', type: 'symlink', mode: 0o777, link: `../${long}`, size: 0 },
      { name: 'h', type: 'link', mode: 0o644, link: 'a/ü', size: 0 },
    ]);
  });

  it('reads what another writer wrote, whatever the chunks', async () => {
    const long = `${'d'.repeat(99)}/${'é'.repeat(150)}`;
    const bytes = await makeTar([
      [{ name: 'dir', type: 'directory' }],
      [{ name: long }, 'long'],
      [{ name: 'empty' }],
      [{ name: 'link', type: 'symlink', linkname: long }],
    ]);
    const expected = [
      { path: 'dir', type: 'directory', link: '', text: '' },
      { path: long, type: 'file', link: '', text: 'long' },
      { path: 'empty', type: 'file', link: '', text: '' },
      { path: 'link', type: 'symlink', link: long, text: '' },
    ];
    for (const size of [1, 7, 511, 512, 513, 4096]) assert.deepEqual(await readAll(bytes, size), expected);
  });

  it('passes over content that nobody reads', async () => {
    const bytes = await makeTar([
      [{ name: 'a' }, 'x'.repeat(5000)],
      [{ name: 'b' }, 'y'],
    ]);
    const paths = [];
    for await (const { header } of readTar(chunked(bytes, 100))) paths.push(header.path);
    assert.deepEqual(paths, ['a', 'b']);
  });

  it('refuses a header that asks for more memory than any header needs', async () => {
    const bytes = Buffer.from(tarHeader({ path: 'x', type: 'file', mode: 0o644, size: 3 * 2 ** 30 }));
    // The same block as a pax header: type x, checksum mended.
    bytes.write('x', 156, 'latin1');
    bytes.write('        ', 148, 'latin1');
    const sum = bytes.reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await assert.rejects(readAll(bytes), withCode('IMAGE_ARCHIVE_UNSAFE', /a header of/));
  });

  it('fails only in one way on damaged archives', async () => {
    const good = await makeTar([
      [{ name: 'a'.repeat(150) }, 'content'],
      [{ name: 'b', type: 'symlink', linkname: 'a' }],
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: good.length - 1 }),
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 1, max: good.length }),
        async (at, value, length) => {
          const bytes = Buffer.from(good.subarray(0, length));
          bytes[at % length] = value;
          try {
            await readAll(bytes);
          } catch (error) {
            assert.ok(error instanceof KnapsackError && error.code === 'IMAGE_ARCHIVE_UNSAFE', String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
