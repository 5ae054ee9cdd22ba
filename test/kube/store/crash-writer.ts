/**
 * Writes under load until killed. Prints one line for each event that a watcher saw (`event VERSION KEY VALUE|-`) and for
 * each acknowledged write (`ack …`), each with one synchronous write, so that what the parent reads had happened.
 */
import { writeSync } from 'node:fs';
import { systemCode } from '../../../src/base/errors.ts';
import type { KubeObject } from '../../../src/api/object.ts';
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { configMap } from './support.ts';

const [, , directory = '', seed = '0'] = process.argv;
const moment = new Int32Array(new SharedArrayBuffer(4));

/** The pipe does not block: when the parent is slow it takes a part, or nothing (EAGAIN), and the rest must follow. */
function print(line: string): void {
  let rest = Buffer.from(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (systemCode(error) !== 'EAGAIN') throw error;
      Atomics.wait(moment, 0, 0, 1);
    }
  }
}

const valueOf = (object: KubeObject & { data?: { value?: string } }): string => object.data?.value ?? '-';

const store = await Store.open(sqliteBackend(directory));
const table = store.table('configmaps');
print(`open ${store.resourceVersion}`);
table.subscribe((events) => {
  for (const { type, record } of events) {
    print(
      `event ${record.resourceVersion} ${record.key} ${type === 'DELETED' ? '-' : valueOf(record.object)}`,
    );
  }
});

async function writer(id: number): Promise<never> {
  for (let i = 0; ; i++) {
    const name = `w${id}-${i % 7}`;
    const key = `default/${name}`;
    const removes = i % 5 === 4 && table.get(key) !== undefined;
    const object = configMap(name, `${seed}.${i}${'x'.repeat((i * 37) % 900)}`);
    const record = await (removes ? store.remove(table, key, object) : store.put(table, key, object));
    print(`ack ${record.resourceVersion} ${key} ${removes ? '-' : valueOf(object)}`);
  }
}

await Promise.all(Array.from({ length: 16 }, (_, id) => writer(id)));
