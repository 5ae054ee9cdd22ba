/** The peer: bare `node:http` and `node:https` that answer 1 KB. Arguments: certificate and key files. Prints its ports. */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

const [, , cert = '', key = ''] = process.argv;
const body = Buffer.alloc(1024, 0x78);
const answer: RequestListener = (request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
    response.end(body);
  });
};
const listen = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
const plain = await listen(createServer(answer));
const tls = await listen(createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, answer));
console.log(JSON.stringify({ plain, tls }));
