// A relay by Node's `http`, with the streams of its documentation.
//
// `node relay.mjs UPSTREAM`, where UPSTREAM is an address.

import { Agent, createServer, request as send } from "node:http";

const [hostname, port] = process.argv[2].split(":");
const agent = new Agent({ keepAlive: true, noDelay: true });
const server = createServer({ noDelay: true }, (request, response) => {
    const { method, url: path } = request;
    const { connection, host, ...headers } = request.headers;
    const upstream = send({ hostname, port, path, method, headers, agent }, (answer) => {
        const { connection, "transfer-encoding": coding, ...headers } = answer.headers;
        response.writeHead(answer.statusCode, headers);
        answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () => {
    console.log(`listening on 127.0.0.1:${server.address().port}`);
});

// Ends the relay together with the benchmark.
process.stdin.on("end", () => process.exit()).resume();
