// The page's time, which is faster than the server's, and the commands of the test's servers.

import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';

export const SPEED = 8;
const real = { now: Date.now, setTimeout };
const begun = real.now();
Date.now = () => begun + (real.now() - begun) * SPEED;
globalThis.setTimeout = (call, time = 0, ...rest) => real.setTimeout(call, time / SPEED, ...rest);

export const sleep = time => new Promise(resolve => setTimeout(resolve, time));

/** Returns numbers that depend on the seed alone. */
export function random(seed) {
    return () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let it = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        it = (it + Math.imul(it ^ (it >>> 7), 61 | it)) ^ it;
        return ((it ^ (it >>> 14)) >>> 0) / 2 ** 32;
    };
}

const request = fetch; // not counted below

/** A server of the test, which takes commands. */
export class Server {
    static async start(commands, settings) {
        const it = new Server();
        Object.assign(it, await post(`${commands}/rigs`, JSON.stringify(settings)), { commands });
        return it;
    }

    do(command, text = '') {
        return post(`${this.commands}/rigs/${this.index}/${command}`, String(text));
    }
}

async function post(url, body) {
    const headers = { 'content-type': 'application/json' };
    const answer = await request(url, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
    return answer.json();
}

/**
 * Waits in steps, each with a command: if this machine or the server is slow, so are the steps.
 * Returns the milliseconds of the page's time, or `null` if the condition hasn't come true in time.
 */
export async function until(server, condition, within) {
    const from = Date.now();
    for (let step = 0; step <= within / 100; step++) {
        if (await condition()) return Date.now() - from;
        await server.do('ping');
        await sleep(100);
    }
    return null;
}

/** The times of the requests that the module has made, by URL. */
export const requests = [];

/** Loads the module, with the `EventSource` of a package if the transport is native. */
export async function load(transport, file) {
    const note = url => requests.push({ at: Date.now(), url: String(url) });
    if (transport === 'native') {
        const { EventSource } = createRequire(`${process.env.PACKAGES}/`)('undici');
        globalThis.EventSource = class extends EventSource {
            constructor(url, ...rest) {
                note(url);
                super(url, ...rest);
            }
        };
    } else delete globalThis.EventSource;
    globalThis.fetch = (url, ...rest) => {
        note(url);
        return request(url, ...rest);
    };
    const { EventStream } = await import(file ?? new URL('../../../page/tower-sse.js', import.meta.url));
    return EventStream;
}

/** Makes a page around the module, as far as the module asks for one. Returns it with its listeners. */
export function page(url, state = {}) {
    EventEmitter.defaultMaxListeners = 100; // of an `AbortSignal`
    const listeners = new Map();
    class Target extends EventTarget {
        addEventListener(type, listener, options) {
            const key = [this, type, listener];
            listeners.set(key, type);
            options?.signal?.addEventListener('abort', () => listeners.delete(key));
            super.addEventListener(type, listener, options);
        }
    }
    const [document, window] = [new Target(), new Target()];
    globalThis.document = Object.assign(document, { hidden: false, baseURI: url }, state);
    globalThis.location = new URL(url);
    globalThis.addEventListener = window.addEventListener.bind(window);
    return { document, window, listeners };
}
