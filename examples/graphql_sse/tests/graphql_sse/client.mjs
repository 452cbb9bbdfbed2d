// Sends one operation by the official client, and prints what the client reports, a line each:
// client.mjs <url> <query> [<attempts>]. A line on the standard input disposes of the operation.

import { createRequire } from 'node:module';

const [url, query, attempts] = process.argv.slice(2);
const { createClient } = createRequire(`${process.env.PACKAGES}/`)('graphql-sse');
const print = (report) => console.log(JSON.stringify(report));

// The client's own times between attempts are longer than a test should take.
const retry = () => new Promise((resolve) => setTimeout(resolve, 100));
const client = createClient({ url, retry, retryAttempts: Number(attempts ?? 200) });
const dispose = client.subscribe(
    { query },
    {
        next: (result) => print({ next: result }),
        error: (error) => print({ error: `${error.name}: ${error.message}` }),
        complete: () => print({ complete: true }),
    },
    { connected: (again) => print({ connected: again ? 'again' : 'first' }) },
);
process.stdin.once('data', dispose).once('end', () => process.exit());
