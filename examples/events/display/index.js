const http = require('http');

// CloudEvents in binary mode: attributes are ce-* headers, the body is the data.
http.createServer((request, response) => {
  let data = '';
  request.on('data', (chunk) => (data += chunk));
  request.on('end', () => {
    const { 'ce-id': id, 'ce-type': type, 'ce-source': source } = request.headers;
    if (id) console.log(JSON.stringify({ id, type, source, data }));
    response.statusCode = id ? 202 : 400;
    response.end();
  });
}).listen(process.env.PORT || 8080);
