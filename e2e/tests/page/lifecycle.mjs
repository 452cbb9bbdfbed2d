// What the page's own events do to a stream: lifecycle.mjs <commands> <transport>

import { load, page, requests, Server, sleep, SPEED, until } from './clock.mjs';

const [commands, transport] = process.argv.slice(2);
const EventStream = await load(transport);
const server = await Server.start(commands, { beat: 15_000 / SPEED, told: 15_000, retry: [1000, 5000] });
const url = `${server.origin}/events`;
const { document, window } = page(url, { prerendering: true });
const fire = (target, ...types) => types.forEach(type => target.dispatchEvent(new Event(type)));
const log = [];
let published = 0;

async function check(what, condition, within = 20_000) {
    if (await until(server, condition, within) === null) throw new Error(`${what}: ${log} of ${published}, ${source.readyState}`);
}
const streams = async () => (await server.do('streams'));
const publish = () => server.do('publish', ++published);
const isWhole = () => JSON.stringify(log) === JSON.stringify(Array.from({ length: published }, (_, n) => n + 1));

const source = new EventStream(url, { hidden: 2000 });
source.onmessage = ({ data }) => log.push(Number(data));

await sleep(5000);
if (requests.length) throw new Error('a prerendered page has no stream');
document.prerendering = false;
fire(document, 'prerenderingchange');
await check('activated', async () => await streams() === 1 && source.lastEventId !== '');

/** The stream is closed, an event is published, and comes once the page is back. */
async function pauses(what, leave, back) {
    await publish();
    await check(`before ${what}`, isWhole);
    leave();
    await check(`${what} closes the stream`, async () => await streams() === 0);
    await publish();
    const before = requests.length;
    await sleep(10_000);
    if (requests.length > before) throw new Error(`requests while ${what}`);
    back();
    await check(`after ${what}`, isWhole);
}
const hide = isHidden => {
    document.hidden = isHidden;
    fire(document, 'visibilitychange');
};
await pauses('left', () => fire(window, 'pagehide'), () => fire(window, 'pageshow'));
await pauses('hidden', () => hide(true), () => hide(false));
// Chromium may leave `resume` out. Here, timers go on, so that one wakes the page at once.
const made = requests.length;
fire(document, 'freeze');
await check('a frozen page opens another stream', () => requests.length > made);
await publish();
await check('frozen without an end', isWhole);
// Hidden and left at once: both must end.
await pauses('hidden and left', () => { hide(true); fire(window, 'pagehide'); }, () => { hide(false); fire(window, 'pageshow'); });

// A tab that is hidden for a short time keeps its stream.
let before = requests.length;
hide(true);
await sleep(1000);
hide(false);
await publish();
await check('shown soon', isWhole);
if (requests.length > before) throw new Error('requests of a tab that was hidden for a second');

// Back in the network, an open stream is replaced: its connection may be dead.
fire(window, 'offline', 'online');
await check('online', () => requests.length > before);
await publish();
await check('after online', isWhole);
before = requests.length;
fire(window, 'online');
await sleep(10_000);
if (requests.length > before) throw new Error('requests without an `offline`');

// A connection that died in a sleep: soon after the page is shown, not after two or three heartbeats.
await server.do('freeze');
const now = Date.now;
Date.now = () => now() + 20_000; // more than a heartbeat, but less than two
await publish();
hide(false);
await check('shown after a sleep', isWhole, 6000);
source.close();
console.log('each event came once');
process.exit();
