// Pages with random faults between them and their servers: model.mjs <commands> <transport> <first seed> <seeds>
// The transport is `fetch` or `native`. A fifth argument is another file of the module.
//
// The oracle is naive: each event comes once and in order, or behind a gap; it comes in time after each fault;
// the module makes few requests, and none once the stream is over.

import { load, random, requests, Server, sleep, SPEED, until } from './clock.mjs';

const [commands, transport, first, seeds, file] = process.argv.slice(2);
const EventStream = await load(transport, file);
const isNative = transport === 'native';
const late = {}, errors = {};

// How late an event may be, in milliseconds of the page: while the fault lasts, or after its end.
const FAULTS = {
    cuts: { during: 25_000 },
    finishes: { during: 40_000 },
    refusal: { after: 75_000 },
    502: { after: 45_000 },
    503: { after: 45_000 },
    '429 5': { after: 45_000 },
    'log-in': { after: 45_000 },
    flap: { after: 45_000 },
    freeze: { after: 90_000 },
    stop: { after: 75_000 },
    kill: { after: 75_000 },
    loss: { after: 75_000 },
    full: { after: 75_000 },
    unheard: { after: 10_000 },
    hold: { during: 60_000, needsPolls: true },
    blocks: { during: 60_000, needsPolls: true },
};

/** Cuts and pieces come within characters. */
const TAIL = 'žluťoučký 🐎'.replace(' ', '\u00a0');
const isPoll = url => /[?&]poll=/.test(url);

class Run {
    log = [];
    faults = [];
    story = [];
    published = 0;

    /** Plans a run. What depends on time draws other numbers, so that a seed has one plan. */
    constructor(seed) {
        const next = random(seed), pick = list => list[Math.floor(next() * list.length)];
        this.poll = next() < 0.6 ? 1 : 0; // a second of the server
        this.isAged = next() < 0.2;
        this.kept = next() < 0.2 ? 5 : 10_000;
        const kinds = process.env.TOWER_SSE_KINDS?.split(',') ?? Object.keys(FAULTS);
        this.phases = Array.from({ length: 4 }, () => {
            return { kind: pick(kinds), cuts: next() < 0.7, length: 10_000 + 40_000 * next() ** 2 };
        });
        this.way = pick(['end', '401', 'close']);
        Object.assign(this, { seed, next: random(seed + 0.5) });
    }

    async start() {
        const { kept, isAged } = this;
        const max_age = isAged ? 30_000 / SPEED : 0;
        this.server = await Server.start(commands, { beat: 15_000 / SPEED, told: 15_000, kept, max_age, splits: true });
        this.url = `${this.server.origin}/events`;
        this.source = new EventStream(this.url, { poll: this.poll });
        this.source.onopen = () => this.trace('open');
        this.source.onmessage = ({ data }) => {
            const [number, tail] = data.split(' ');
            if (tail !== TAIL) this.faults.push(`${JSON.stringify(data)} is another event`);
            this.log.push(Number(number));
            this.isGood = true;
            this.heard = Date.now();
        };
        this.source.addEventListener('gap', () => this.log.push('gap'));
        // Not a listener: the module listens to what has one.
        this.source.dispatchEvent = event => {
            if (event.type === 'heartbeat') this.sign = Date.now();
            return EventStream.prototype.dispatchEvent.call(this.source, event);
        };
        this.source.onerror = error => {
            this.error = error;
            this.trace(`error ${error.why} ${error.status} wait ${error.wait}`);
            errors[error.why] = (errors[error.why] ?? 0) + 1;
            if (error.status >= 500) {
                // An `EventSource` that stops has perhaps only been asked for.
                if (!isNative && this.isGood && error.wait > 1000) this.faults.push(`the first failure waits for ${error.wait}`);
                this.isGood = false;
            }
            // A stream that ends soon is a failure too, such as the first one after polls, if it's held.
            const { at } = this.made().at(-1);
            const lasts = this.sign >= at && Date.now() - at > 3000;
            if (!(this.heard >= at) && !lasts) this.isGood = false;
            if (error.wait > 36_000) this.faults.push(`waits for ${error.wait}, longer than anything asks for`);
            if (error.status === 429 && error.wait < 5000) this.faults.push(`waits for ${error.wait} in spite of Retry-After`);
        };
        const began = await until(this.server, () => this.source.lastEventId !== '', 30_000);
        if (began === null) this.faults.push('no id');
    }

    /** Prints what happens in a run, if `TOWER_SSE_TRACE` has its seed. */
    trace(text) {
        if (process.env.TOWER_SSE_TRACE !== String(this.seed)) return;
        const made = this.made?.() ?? [];
        console.log(`${(Date.now() / 1000).toFixed(1)} ${transport}: ${text} (${made.length} requests, the last ${Date.now() - made.at(-1)?.at} ms ago, ${this.source?.via})`);
    }

    publish() {
        return this.server.do('publish', `${++this.published} ${TAIL}`);
    }

    async arrives(what, within) {
        const { source } = this;
        const time = await until(this.server, () => this.log.at(-1) === this.published, within);
        (late[what] ??= []).push([time ?? within, this.seed]);
        if (time === null) {
            this.faults.push(`${what}: no ${this.published} (${source.via}, ${source.readyState}, ${this.error?.why})`);
        }
    }

    /** One fault, and its end. */
    async phase({ kind, cuts, length }) {
        const { server, next } = this, { during, after, needsPolls } = FAULTS[kind];
        const before = this.made().length;
        this.story.push(kind);
        this.trace(kind);
        await this.begin(kind, cuts);
        const end = Date.now() + length;
        while (Date.now() < end) {
            if (kind === 'unheard') await server.do('unheard', 'x');
            else for (let n = 0; n < 3 * next(); n++) await this.publish();
            if (next() < 0.3) await server.do('unheard', 'x');
            if (next() < 0.5) await sleep(300 * next()); // within an event, half of the time
            if (kind === 'cuts') await server.do('cut');
            if (kind === 'finishes') await server.do('finish');
            if (kind === 'freeze' && next() < 0.4) await server.do('freeze');
            await sleep(1000 + 5000 * next());
        }
        const isStream = this.source.via === 'stream' && !this.isAged;
        if (kind === 'unheard' && isStream && this.made().length > before + 3) {
            this.faults.push(`${this.made().length - before} requests beside events that nobody hears`);
        }
        if (during) {
            await this.publish();
            await this.arrives(`during ${kind}`, during);
        }
        if (kind === 'freeze') await server.do('freeze');
        await this.end(kind);
        this.trace(`end of ${kind}`);
        await this.publish();
        await this.arrives(`after ${kind}`, after ?? during);
        if (needsPolls) {
            const ended = Date.now(), isStream = ({ at, url }) => at > ended && !isPoll(url);
            // After up to 90 s, then 450 s, and so on, a stream is tried again.
            const polls = this.made().map(({ url }) => isPoll(url));
            const periods = polls.filter((is, at) => is && !polls[at - 1]).length;
            const limit = 110_000 + 90_000 * 5 ** Math.max(0, periods - 1);
            const back = await until(server, () => this.source.via === 'stream' || this.made().some(isStream), limit);
            if (back === null) this.faults.push('polls for ever');
        }
    }

    async begin(kind, cuts) {
        const { server } = this;
        if (kind === 'refusal') await server.do('listen', false);
        if (kind === 'stop') return server.do('stop');
        if (kind === 'full') await server.do('occupy', true);
        if (kind === 'kill' || kind === 'loss') {
            await server.do('listen', false);
            return server.do('cut');
        }
        const isMode = /^\d|log-in|flap|hold|blocks/.test(kind);
        if (isMode) await server.do('mode', kind);
        if (FAULTS[kind].needsPolls || cuts && (isMode || ['refusal', 'full'].includes(kind))) await server.do('cut');
    }

    async end(kind) {
        const { server } = this;
        await server.do('mode', 'pass');
        await server.do('occupy', false);
        if (['stop', 'kill', 'loss'].includes(kind)) await server.do('restart', kind === 'loss' ? 'lost' : 'kept');
        else await server.do('listen', true);
    }

    /** The stream ends for good, and no request follows. */
    async last() {
        const { server, source, way } = this;
        this.story.push(way);
        if (way === 'close') source.close();
        if (way === 'end') await server.do('end', 'over');
        if (way === '401') {
            await server.do('mode', 401);
            await server.do('cut');
        }
        const time = await until(server, () => source.readyState === 2, 90_000);
        if (time === null) return this.faults.push(`open after ${way}`);
        const status = { close: undefined, end: 204, 401: 401 }[way];
        if (status && this.error.status !== status) this.faults.push(`${this.error.status} after ${way}`);
        const before = this.made().length;
        await sleep(15_000);
        if (this.made().length > before) this.faults.push(`requests after ${way}`);
    }

    made() {
        return requests.filter(({ url }) => url.startsWith(this.url));
    }

    judge() {
        let last = 0, isGap = false;
        for (const it of this.log) {
            if (it === 'gap') isGap = true;
            else {
                if (it <= last) this.faults.push(`${it} after ${last}`);
                if (it > last + 1 && !isGap) this.faults.push(`${last + 1} to ${it - 1} are lost`);
                [last, isGap] = [it, false];
            }
        }
        // A poll that is answered is followed by another, soon.
        const times = this.made().filter(({ url }) => !isPoll(url)).map(({ at }) => at);
        const most = times.reduce((most, from, index) => Math.max(most, times.slice(index).filter(at => at - from < 10_000).length), 0);
        if (most > 6) this.faults.push(`${most} requests in 10 s`);
        return { most, made: this.made().length };
    }

    async run() {
        const from = Date.now();
        await this.start();
        let hasHeld = false;
        for (const phase of this.phases) {
            const { needsPolls } = FAULTS[phase.kind];
            if (needsPolls && (!this.poll || hasHeld)) continue;
            hasHeld ||= needsPolls;
            await this.phase(phase);
            if (this.faults.length) break;
        }
        if (!this.faults.length) await this.last();
        this.source.close();
        return { ...this, ...this.judge(), seconds: (Date.now() - from) / 1000 };
    }
}

const runs = Array.from({ length: Number(seeds) }, (_, index) => new Run(Number(first) + index).run());
const results = await Promise.all(runs);
for (const { seed, faults, story } of results.filter(({ faults }) => faults.length)) {
    console.log(`seed ${seed} by ${transport}: ${faults.slice(0, 4).join('; ')} | ${story.join(', ')}`);
}
const sum = key => results.reduce((sum, it) => sum + it[key], 0);
const longest = Object.entries(late).map(([what, times]) => {
    const [time, seed] = times.sort((one, other) => other[0] - one[0])[0];
    return `${what} ${(time / 1000).toFixed()} (seed ${seed})`;
});
console.log(`${transport}: ${results.length} runs of ${(sum('seconds') / results.length).toFixed()} s, ${sum('published')} events, `
    + `${results.reduce((n, it) => n + it.log.filter(it => it === 'gap').length, 0)} gaps, ${sum('made')} requests, `
    + `at most ${Math.max(...results.map(it => it.most))} in 10 s; latest in s: ${longest.join(', ')}; errors ${JSON.stringify(errors)}`);
process.exit(results.some(({ faults }) => faults.length) ? 1 : 0);
