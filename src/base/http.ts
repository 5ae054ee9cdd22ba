/**
 * node:http without its ES module face. Making that face reads every export of the module, and behind `WebSocket` stands a
 * whole HTTP client of Node's own: some 15 ms and 4 MB for each thread, for something that is never used.
 */
import type * as Http from 'node:http';

export const http: typeof Http = process.getBuiltinModule('node:http');
