// The routes of `peers serve`, by better-sse and its channel, as its documentation shows them.
//
// `node better_sse.mjs DIRECTORY`, where DIRECTORY has the `node_modules`.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

const installed = createRequire(resolve(process.argv[2], "package.json"));
const { createChannel, createSession } = installed("better-sse");

const channel = createChannel();
const filler = "the quick brown fox jumps over the lazy dog, ".repeat(6).slice(0, 226);

// Returns the data of an event: its number, filler, and the time at which it is published.
function text(number) {
    const sequence = String(number).padStart(8, "0");
    const published = String(process.hrtime.bigint()).padStart(20, "0");
    return `${sequence} ${filler}${published}~`;
}

async function publish(events, burst, gap) {
    const start = performance.now();
    for (let number = 1; number <= events; number += 1) {
        channel.broadcast(text(number));
        if (number % burst !== 0) continue;
        if (gap > 0) {
            const due = start + (number / burst) * gap;
            await sleep(Math.max(0, due - performance.now()));
        } else {
            await turn();
        }
    }
}

const server = createServer(async (request, response) => {
    request.socket.setNoDelay(true);
    const url = new URL(request.url, "http://localhost");
    const number = (name) => Number(url.searchParams.get(name));
    if (request.method === "POST") {
        let text = "";
        for await (const piece of request.setEncoding("utf8")) text += piece;
        // `broadcast` sends a string as JSON, in quotes.
        channel.broadcast(text);
        response.writeHead(204).end();
    } else if (url.pathname === "/events" || url.pathname === "/") {
        channel.register(await createSession(request, response));
    } else if (url.pathname === "/publish") {
        await publish(number("events"), number("burst"), number("gap_ms"));
        response.end("published");
    } else {
        response.end("lost 0");
    }
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () => {
    console.log(`listening on 127.0.0.1:${server.address().port}`);
});

// Ends the server together with the benchmark.
process.stdin.on("end", () => process.exit()).resume();
