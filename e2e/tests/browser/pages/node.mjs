// Listens with the EventSource of a package: node.mjs <package> <url>
// Prints all that it has received when that changes, but at most every 50 ms, because printing
// takes longer with each event.

import { createRequire } from 'node:module';
import { listen } from './seen.mjs';

// While undici waits to reconnect, it does not keep the process alive by itself.
process.stdin.on('end', () => process.exit()).resume();

const [name, url] = process.argv.slice(2);
const { EventSource } = createRequire(`${process.env.PACKAGES}/`)(name);
const source = new EventSource(url);
const seen = listen(source);
let next;
const print = () => {
    next = undefined;
    console.log(JSON.stringify(seen));
};
for (const type of ['open', 'error', 'message', 'farewell']) {
    source.addEventListener(type, () => { next ??= setTimeout(print, 50); });
}
