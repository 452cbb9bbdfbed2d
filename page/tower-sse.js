// The page's side of the crate tower-sse. tower-sse.d.ts describes what this exports.
//
// The browser's `EventSource` reads streams: in 2026, Safari held back parts of what `fetch` reads.
// `fetch` is for polls, headers, a `POST`, and the status that has stopped an `EventSource`.

const CONNECTING = 0, OPEN = 1, CLOSED = 2;
const HOUR = 3_600_000;
const LONGEST_WAIT = 30_000; // between two tries, unless the server asks for more
const FIRST = 5000; // for a stream's first event, with polls; the server sends one at once
const TICK = 2000; // longer timers, which stand still while a computer sleeps, fire too late

const now = () => Date.now();
const between = (from, to) => from + Math.random() * (to - from);
const isTransient = status => [408, 425, 429].includes(status) || status >= 500;
const isOwn = type => type === "open" || type === "error"; // not an event of the server

export class StreamError extends Event {
  constructor({ why, status = 0 }, wait) {
    super("error");
    Object.assign(this, { why, status, wait: wait ?? null });
  }
}

export class EventStream extends EventTarget {
  static CONNECTING = CONNECTING; static OPEN = OPEN; static CLOSED = CLOSED;
  CONNECTING = CONNECTING; OPEN = OPEN; CLOSED = CLOSED;

  #url;
  #options;
  #body; // of the first request
  #isNative; // whether an `EventSource` reads streams
  #source = null;
  #names = new Set(["message", "start", "gap", "heartbeat"]); // of events to listen to
  #handlers = {};
  #state = CONNECTING;
  #last;
  #retry = null; // the server's reconnection time, if `fetch` has read one
  #failures = 0; // in a row
  #made = []; // the times of the last five requests
  #mayListen = false; // whether an `EventSource` may open what `fetch` has found
  #isRenewed = false; // whether the headers were made anew after a 401
  #isOffline = false; // whether the last failure may be the network's
  #pulse;
  #polls = null;
  #pauses = new Set(); // why there is no stream: "frozen", "hidden", "away", "prerendered"
  #life = new AbortController();
  #watch = null; // of the request in flight
  #wake = () => {}; // ends a wait

  constructor(url, options = {}) {
    super();
    const { last = "", poll = 0, body, signal } = options;
    this.#url = new URL(url, globalThis.document?.baseURI);
    [this.#options, this.#last, this.#body] = [options, last, body];
    const needsFetch = options.headers || options.fetch || body !== undefined;
    this.#isNative = !needsFetch && "EventSource" in globalThis;
    // `fetch` hears the comments that are heartbeats by default.
    this.#pulse = new Pulse(options.beat ?? 15_000, options.beat > 0 || !this.#isNative);
    if (poll) this.#polls = new Polls(poll, this.#url.origin);
    if (signal?.aborted) return void (this.#state = CLOSED);
    signal?.addEventListener("abort", () => this.close(), { signal: this.#life.signal });
    if (globalThis.document) this.#followPage(document);
    queueMicrotask(() => this.#run()); // listeners that are added until then miss nothing
  }

  get url() { return this.#url.href; }
  get readyState() { return this.#state; }
  get withCredentials() { return Boolean(this.#options.withCredentials); }
  get lastEventId() { return this.#last; }
  get via() { return this.#polls?.isOn ? "poll" : "stream"; }

  get onopen() { return this.#handlers.open ?? null; }
  set onopen(handler) { this.#handle("open", handler); }
  get onmessage() { return this.#handlers.message ?? null; }
  set onmessage(handler) { this.#handle("message", handler); }
  get onerror() { return this.#handlers.error ?? null; }
  set onerror(handler) { this.#handle("error", handler); }

  #handle(type, handler) {
    this.removeEventListener(type, this.#handlers[type]);
    this.#handlers[type] = typeof handler === "function" ? handler : null;
    this.addEventListener(type, this.#handlers[type]);
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (isOwn(type) || this.#names.has(type)) return;
    this.#names.add(type);
    this.#source?.addEventListener(type, this.#hear);
  }

  close() {
    this.#leave("closed", CLOSED);
    this.#life.abort();
  }

  #leave(why, state) {
    this.#state = state;
    this.#watch?.stop(why);
    this.#wake();
  }

  async #run() {
    while (this.#state !== CLOSED) {
      if (this.#pauses.size > 0) await this.#sleep(HOUR);
      else await this.#try();
    }
  }

  async #try() {
    // With the one that asks why an `EventSource` stops, at most six requests in ten seconds.
    const early = this.#made.at(-5) + 10_000 - now();
    if (early > 0 && this.#failures > 0) return this.#sleep(early);
    const poll = this.#body === undefined && this.#polls?.next() || 0;
    // After a failure, `fetch` asks first.
    const mustAsk = this.#failures > 0 && !this.#mayListen;
    this.#mayListen = false;
    const end = await (poll || !this.#isNative ? this.#fetch(poll)
      : mustAsk ? this.#ask() : this.#listen());
    if (this.#state === CLOSED || end.why === "paused") return;
    if (end.why === "again") {
      return this.#sleep(end.isGood === false ? this.#backOff() : between(0, 1000));
    }
    this.#polls?.note(end, poll);
    this.#pulse.note(end);
    const wait = this.#judge(end, poll);
    const isQuiet = end.why === "mute" || (poll && end.why === "end");
    if (wait === null || !isQuiet) this.#fail(end, wait);
    if (wait !== null) await this.#sleep(wait);
  }

  /** Returns the milliseconds to wait after a request, or `null` if the stream is over. */
  #judge({ why, status, after = 0, isGood = false, isPost = false }, poll) {
    const { headers, retry } = this.#options;
    const isAnswer = poll && why === "end";
    if (isGood || isAnswer) this.#failures = 0;
    if (why === "status") {
      if (status === 401 && !isPost && !this.#isRenewed && typeof headers === "function") {
        this.#isRenewed = true;
        return 0;
      }
      if (isPost || status === 204 || !(retry?.(status) ?? isTransient(status))) return null;
      // A time that the server asks for is spread, but never shortened.
      return Math.max(this.#backOff(), after * between(1, 1.2));
    }
    if (why === "network" || why === "type") return this.#backOff();
    if (why === "mute") return 0;
    this.#isRenewed = false;
    if (isAnswer) return this.#retry ?? between(200, 1000);
    if (isPost && why === "end") return this.#retry ?? between(0, 200); // is the answer whole?
    const least = isGood ? 0 : this.#backOff();
    return why === "silent" ? least : Math.max(least, this.#retry ?? between(1000, 5000));
  }

  #backOff() {
    return between(0.5, 1) * Math.min(LONGEST_WAIT, 1000 * 2 ** this.#failures++);
  }

  #sleep(wait) {
    return new Promise(resolve => {
      let timer = setTimeout(resolve, wait);
      this.#wake = (most = 0) => {
        if (most >= wait) return;
        clearTimeout(timer);
        timer = setTimeout(resolve, most);
      };
    });
  }

  #begin(poll = 0) {
    const pulse = this.#pulse, polls = this.#polls, isPost = this.#body !== undefined;
    // A slow `POST` isn't given up early, because it's never sent again.
    this.#made = this.#made.slice(-4).concat(now());
    const tries = isPost ? 5 : polls ? 0 : Math.min(5, 1 + this.#failures);
    return this.#watch = new Watch(pulse, this.#last, {
      head: poll ? 1000 * poll + 2 * FIRST : FIRST * 2 ** tries,
      isTimed: () => !poll && (pulse.isHeard || polls?.isTrial),
      isStrict: Boolean(polls),
    });
  }

  #hear = ({ target, type, data, lastEventId }) => {
    if (target !== this.#source) return;
    this.#watch.note(EVENT);
    this.#take({ type, data, id: lastEventId || null });
  };

  /** Reads a stream with an `EventSource`, which reconnects by itself after an end. */
  async #listen() {
    const watch = this.#begin(), { withCredentials } = this;
    const source = this.#source = new EventSource(this.#target(), { withCredentials });
    for (const name of this.#names) source.addEventListener(name, this.#hear);
    const why = await new Promise(resolve => {
      watch.signal.addEventListener("abort", () => resolve(watch.signal.reason));
      source.onopen = () => {
        watch.note(HEAD);
        this.#open();
      };
      source.onerror = () => {
        if (source.readyState === OPEN) return; // an event of the server with this name
        if (source.readyState === CLOSED) return resolve("status");
        // Behind a service worker, Chromium reconnects without the last id.
        if (globalThis.navigator?.serviceWorker?.controller) return resolve("end");
        // It would ask for ever where a redirect has led, even if that server is gone.
        if (!watch.wait()) return resolve("network");
        this.#fail({ why: "end", status: 200 });
      };
    });
    source.close();
    this.#source = null;
    const end = watch.end(why, this.#last, this.#state === OPEN ? 200 : 0);
    return why === "status" ? { ...end, ...await this.#ask() } : end;
  }

  /** Asks why an `EventSource` stopped. If there's a stream, reads ids that only it has seen. */
  async #ask() {
    const watch = this.#begin();
    let timer;
    try {
      const response = await this.#request(0, watch.signal);
      const failure = failureOf(response);
      this.#mayListen = !failure;
      if (failure) return failure;
      this.#open();
      timer = setTimeout(() => watch.stop("again"), 2000);
      await this.#read(response, watch);
      return { why: "end", status: 200 };
    } catch {
      const why = watch.signal.reason ?? "network";
      // A redirect to another origin can need a preflight, unless an `EventSource` asks.
      this.#mayListen ||= why === "network";
      return { why };
    } finally {
      clearTimeout(timer);
      watch.stop("closed");
    }
  }

  async #fetch(poll) {
    const watch = this.#begin(poll), isPost = this.#body !== undefined;
    let status = 0;
    try {
      const response = await this.#request(poll, watch.signal);
      status = response.status;
      watch.note(HEAD);
      const failure = failureOf(response);
      if (failure) return { ...watch.end(failure.why, this.#last), ...failure, isPost };
      this.#open();
      if (poll) this.#parser()(await response.text());
      else await this.#read(response, watch);
      return { ...watch.end("end", this.#last, status), isPost };
    } catch {
      return watch.end(watch.signal.reason ?? (status ? "cut" : "network"), this.#last, status);
    }
  }

  #target(poll) {
    const url = new URL(this.#url);
    if (this.#last) url.searchParams.set("last", this.#last);
    if (poll) url.searchParams.set("poll", poll);
    return url;
  }

  async #request(poll, signal) {
    const { headers } = this.#options;
    const own = typeof headers === "function" ? await headers(this.#isRenewed) : headers;
    const sent = new Headers(own), url = this.#target(poll), body = this.#body;
    this.#body = undefined; // a `POST` is never repeated: later requests are `GET`s
    sent.set("accept", "text/event-stream");
    // To another origin, more headers would need a preflight.
    if (!globalThis.location || url.origin === location.origin) {
      sent.set("cache-control", "no-cache"); // as an `EventSource` does
      if (this.#last) sent.set("last-event-id", latin1Of(this.#last));
    }
    return await (this.#options.fetch ?? fetch)(url, {
      ...(body === undefined ? {} : { method: "POST", body }),
      headers: sent,
      cache: "no-store", // otherwise, a second tab's request for this URL would wait
      credentials: this.withCredentials ? "include" : "same-origin",
      signal,
    });
  }

  async #read({ body }, watch) {
    const feed = this.#parser(), reader = body.getReader(), decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watch.note(EVENT);
      feed(decoder.decode(value, { stream: true }));
    }
  }

  #parser() {
    return parser(event => this.#take(event), time => { this.#retry = time; });
  }

  #open() {
    if (this.#state !== CONNECTING) return;
    this.#state = OPEN;
    this.dispatchEvent(new Event("open"));
  }

  #fail(end, wait) {
    if (this.#state === CLOSED) return;
    this.#isOffline = end.why === "network";
    this.#state = CONNECTING;
    if (wait === null) this.close();
    this.dispatchEvent(new StreamError(end, wait));
  }

  #take({ type, data, id }) {
    if (this.#state === CLOSED) return;
    if (type === "heartbeat") this.#pulse.hear(data);
    this.#last = id ?? this.#last;
    if (data === null || isOwn(type)) return;
    const init = { data, origin: this.#url.origin, lastEventId: this.#last };
    this.dispatchEvent(new MessageEvent(type, init));
  }

  #followPage(document) {
    const { signal } = this.#life, { hidden } = this.#options;
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal });
    let hiding, thawing, wasOffline = false;
    signal.addEventListener("abort", () => [hiding, thawing].forEach(clearTimeout));
    const hurry = () => { if (this.#isOffline) this.#wake(between(0, 1000)); };
    const look = () => {
      clearTimeout(hiding);
      if (!document.hidden) {
        this.#resume("hidden");
        this.#watch?.suspect();
        hurry();
      } else if (hidden >= 0) hiding = setTimeout(() => this.#pause("hidden"), hidden);
    };
    on(document, "visibilitychange", look);
    on(document, "freeze", () => {
      this.#pause("frozen");
      // Chromium may leave `resume` out. In a frozen page, this timer stands still until it wakes.
      thawing = setTimeout(() => this.#resume("frozen"), 200);
    });
    on(document, "resume", () => { this.#resume("frozen"); look(); });
    // A page in the back/forward cache would keep one of a site's six connections over HTTP/1.1.
    on(globalThis, "pagehide", () => this.#pause("away"));
    on(globalThis, "pageshow", () => this.#resume("away"));
    on(globalThis, "offline", () => { wasOffline = true; });
    on(globalThis, "online", () => {
      if (wasOffline && this.#state === OPEN) this.#watch?.stop("again");
      wasOffline = false;
      hurry();
    });
    if (document.prerendering) {
      this.#pauses.add("prerendered"); // nobody sees the page yet
      on(document, "prerenderingchange", () => this.#resume("prerendered"));
    }
    if (document.hidden) look();
  }

  #pause(why) {
    if (this.#state === CLOSED) return;
    this.#pauses.add(why);
    this.#leave("paused", CONNECTING);
  }

  #resume(why) {
    if (this.#pauses.delete(why) && this.#pauses.size === 0) this.#wake();
  }
}

/** What the page knows about the server's heartbeats. */
class Pulse {
  factor = between(2, 3); // of beats in a silence; random, so that pages don't return together
  #doubt = 1; // doubles with each silent stream, in case no heartbeats are sent
  #isSure = false;

  constructor(beat, isHeard) {
    this.beat = beat; // the interval in milliseconds
    this.isHeard = isHeard; // otherwise, silence means nothing
  }

  get patience() { return this.factor * this.beat * this.#doubt; }

  hear(data) {
    this.isHeard = this.#isSure = true;
    if (Number(data) >= 100) this.beat = Number(data); // the server tells its interval
  }

  note({ why, status, isHeard }) {
    this.#isSure ||= isHeard;
    if (this.#isSure) this.#doubt = 1;
    else if (why === "silent" && status === 200) this.#doubt = Math.min(8, 2 * this.#doubt);
  }
}

const HEAD = 1, EVENT = 2;

/** Watches a request for silence. The `signal` aborts with the reason why the request must end. */
class Watch {
  #control = new AbortController();
  #pulse; #limits; #timer;
  #before; // the last id when the request began
  #seen = now(); // when something came
  #begun = 0; // when the first sign of a passable way came
  #got = 0; // nothing, `HEAD` or `EVENT`
  #wait = 0; // how long the browser may wait before it asks again
  #isDoubted = false;

  constructor(pulse, before, limits) {
    [this.#pulse, this.#before, this.#limits] = [pulse, before, limits];
    this.#look();
  }

  get signal() { return this.#control.signal; }

  stop(why) {
    clearTimeout(this.#timer);
    this.#control.abort(why);
  }

  #patience() {
    const { patience } = this.#pulse;
    if (this.#begun) return this.#limits.isTimed() ? patience : Infinity;
    return this.#wait ? Math.max(patience, this.#wait) : this.#limits.head;
  }

  #look() {
    const left = this.#isDoubted ? 0 : this.#seen + this.#patience() - now();
    if (left > 0) this.#timer = setTimeout(() => this.#look(), Math.min(left + 1, TICK));
    else if (!this.#isDoubted) this.#doubt();
    else this.stop(this.#begun || !this.#limits.isStrict ? "silent" : "mute");
  }

  /** Looks once more: after a sleep, a timer can run before the events that came meanwhile. */
  #doubt() {
    clearTimeout(this.#timer);
    this.#isDoubted = true;
    this.#timer = setTimeout(() => this.#look(), Math.min(1000, this.#pulse.beat));
  }

  /** The page was shown: gives a stream with a missed heartbeat one second. */
  suspect() {
    const isLate = now() - this.#seen > 1.2 * this.#pulse.beat;
    if (isLate && this.#limits.isTimed() && !this.signal.aborted) this.#doubt();
  }

  note(what) {
    [this.#seen, this.#wait, this.#isDoubted] = [now(), 0, false];
    this.#got = Math.max(this.#got, what);
    // If a hop can hold streams back, it may pass their heads alone.
    if (what === EVENT || !this.#limits.isStrict) this.#begun ||= this.#seen;
  }

  /** The browser asks again. Returns whether a response had come. */
  wait() {
    const hadHead = this.#got > 0;
    // By default, the layer asks an `EventSource` to wait for up to 10 s, or 60 s if refused.
    this.#wait = this.#pulse.factor * (this.#got === HEAD ? 37_500 : 10_000);
    [this.#seen, this.#got, this.#begun, this.#isDoubted] = [now(), 0, 0, false];
    return hadHead;
  }

  end(why, last, status = 0) {
    this.stop("closed");
    const short = Math.min(2000, this.#pulse.beat);
    const lasts = until => this.#begun > 0 && until - this.#begun >= short;
    const isGood = lasts(now()) || last !== this.#before;
    return { why, status, isGood, isHeard: lasts(this.#seen) };
  }
}

/** Decides on long polls: the network holds streams back if it passes a poll after a mute one. */
class Polls {
  #longest; #key;
  #isNext = false; // whether to try a poll
  #until = 0;
  #span = 60_000; // of polls until a stream is tried again

  constructor(longest, origin) {
    [this.#longest, this.#key] = [longest, `tower-sse polls ${origin}`];
    try {
      this.#until = Number(sessionStorage.getItem(this.#key)); // the next page polls at once
    } catch {} // no storage
  }

  get isOn() { return now() < this.#until; }

  /** Whether polls were needed before: a silent stream is then held back. */
  get isTrial() { return this.#until > 0; }

  next() {
    return this.isOn || this.#isNext ? this.#longest : 0;
  }

  note({ why, isHeard }, poll) {
    const wasTry = this.#isNext;
    this.#isNext = !poll && !isHeard && (why === "mute" || why === "silent");
    if (!poll && isHeard) [this.#until, this.#span] = [0, 60_000];
    if (!wasTry || why !== "end") return;
    this.#until = now() + this.#span * between(1, 1.5);
    this.#span = Math.min(HOUR, 5 * this.#span);
    try {
      sessionStorage.setItem(this.#key, this.#until);
    } catch {}
  }
}

function failureOf({ status, headers }) {
  const isStream = /^text\/event-stream *(;|$)/i.test(headers.get("content-type") ?? "");
  if (status === 200 && isStream) return null;
  const after = headers.get("retry-after") ?? "";
  const time = /^\d+$/.test(after) ? 1000 * after : Date.parse(after) - now();
  const why = status === 200 ? "type" : "status";
  return { why, status, after: Math.min(Math.max(time || 0, 0), HOUR) };
}

/** Returns the UTF-8 of `text` as a header's text. */
const latin1Of = text => String.fromCharCode(...new TextEncoder().encode(text));

function parser(onEvent, onRetry) {
  const lineEnd = /\r\n|\n|\r/g;
  let rest = "", looked = 0, isAfterCr = false;
  let data = null, type = "", id = null;

  function read(line) {
    if (line === "") {
      if (data !== null || id !== null) onEvent({ type: type || "message", data, id });
      [data, type, id] = [null, "", null];
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") data = data === null ? value : `${data}\n${value}`;
    else if (name === "event") type = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  }

  return text => {
    if (text === "") return;
    rest += isAfterCr && text[0] === "\n" ? text.slice(1) : text;
    isAfterCr = text.endsWith("\r");
    let from = 0;
    lineEnd.lastIndex = looked;
    for (let end; (end = lineEnd.exec(rest)); from = lineEnd.lastIndex) {
      read(rest.slice(from, end.index));
    }
    rest = rest.slice(from);
    looked = rest.length;
  };
}
