// What is left of streams that were closed: rest.mjs <commands> <transport>
// Fifty streams of a transport are opened and closed at different moments.

import { load, page, requests, Server, sleep } from './clock.mjs';

const [commands, transport] = process.argv.slice(2);
const EventStream = await load(transport);

const server = await Server.start(commands, { beat: 500, told: 500, retry: [100, 300] });
const url = `${server.origin}/events`;
const { document, listeners } = page(url);

for (let n = 0; n < 50; n++) {
    const control = new AbortController();
    const source = new EventStream(url, { poll: n % 2, hidden: 1000, signal: control.signal });
    if (n % 5 === 0) server.do('mode', n % 10 ? '502' : 'pass');
    await sleep(n % 3 ? 400 * Math.random() : 0); // before its request, too
    if (n % 7 === 0) document.dispatchEvent(new Event('freeze'));
    if (n % 4) source.close();
    else control.abort();
    if (source.readyState !== 2) throw new Error('not closed');
}
const made = requests.length;
await sleep(20_000);
if (requests.length > made) throw new Error('requests after close');
if (listeners.size) throw new Error(`listeners: ${[...listeners.values()]}`);
const timers = process.getActiveResourcesInfo().filter(it => it === 'Timeout');
if (timers.length > 1) throw new Error(`${timers.length} timers`); // one is the pool's of Node's `fetch`
console.log('nothing is left');
process.exit();
