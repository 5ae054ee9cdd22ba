/** Opens the store of the directory given, prints how that went, and ends. */
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';

const [, , directory = ''] = process.argv;
try {
  const store = await Store.open(sqliteBackend(directory));
  console.log(`opened at ${store.resourceVersion}`);
  await store.close();
} catch (error) {
  console.log(error instanceof Error && 'code' in error ? error.code : error);
}
