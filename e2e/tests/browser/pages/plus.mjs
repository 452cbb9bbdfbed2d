// Listens with event-source-plus, which reads by `fetch`: plus.mjs <url>...

import { createRequire } from 'node:module';

process.stdin.on('end', () => process.exit()).resume();

const { EventSourcePlus } = createRequire(`${process.env.PACKAGES}/`)('event-source-plus');
for (const url of process.argv.slice(2)) {
    new EventSourcePlus(url).listen({ onMessage() {} });
}
