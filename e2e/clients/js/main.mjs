// The clients of npm: `main.mjs CLIENT SITUATION=URL...`.
import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";
import { client, event, over, situations } from "./report.mjs";

const require = createRequire(import.meta.url);
const NAMES = ["message", "start", "heartbeat", "gap"];
const ACCEPT = { accept: "text/event-stream" };

function listen(at, source) {
  for (const name of NAMES) source.addEventListener(name, it => event(at, it.type, it.data));
  return source;
}

/** Reads one response with a decoder, which does not reconnect. */
async function decoded(at, url, read) {
  try {
    const response = await fetch(url, { headers: ACCEPT });
    if (!response.ok) return over(at, response.status);
    await read(response);
    over(at);
  } catch (error) {
    over(at, error);
  }
}

const clients = {
  eventsource: async (at, url) => {
    const { EventSource } = await import("eventsource");
    listen(at, new EventSource(url));
  },
  "eventsource-client": async (at, url) => {
    const { createEventSource } = await import("eventsource-client");
    createEventSource({ url, onMessage: it => event(at, it.event, it.data) });
  },
  "launchdarkly-eventsource": (at, url, options) => {
    const { EventSource } = require("launchdarkly-eventsource");
    const source = listen(at, new EventSource(url, options));
    source.onclose = () => over(at, "closed");
    source.onerror = () => {};
  },
  "launchdarkly-eventsource, set": (at, url) =>
    clients["launchdarkly-eventsource"](at, url, { readTimeoutMillis: 45_000, agent: new (require("node:http").Agent)() }),
  "event-source-polyfill": (at, url, options) => {
    const { EventSourcePolyfill } = require("event-source-polyfill");
    const source = listen(at, new EventSourcePolyfill(url, options));
    source.onerror = () => source.readyState === 2 && over(at, "closed");
  },
  "event-source-polyfill, set": (at, url) => clients["event-source-polyfill"](at, url),
  "extended-eventsource": async (at, url) => {
    const { EventSource } = await import("extended-eventsource");
    listen(at, new EventSource(url));
  },
  "event-source-plus": async (at, url) => {
    const { EventSourcePlus } = await import("event-source-plus");
    new EventSourcePlus(url).listen({ onMessage: it => event(at, it.event, it.data) });
  },
  "fetch-event-source": async (at, url, options) => {
    globalThis.window ??= globalThis;
    globalThis.document ??= new EventTarget();
    const { fetchEventSource } = require("@microsoft/fetch-event-source");
    try {
      await fetchEventSource(url, {
        openWhenHidden: true,
        onmessage: it => event(at, it.event, it.data),
        ...options,
      });
      over(at);
    } catch (error) {
      over(at, error);
    }
  },
  "fetch-event-source, set": (at, url) =>
    clients["fetch-event-source"](at, url, { onclose() { throw new Error("the stream has ended"); } }),
  "sse.js": async (at, url, options) => {
    const { SSE } = await import("sse.js");
    listen(at, new SSE(url, options));
  },
  "sse.js, set": (at, url) =>
    clients["sse.js"](at, url, { autoReconnect: true, useLastEventId: true, headers: { ...ACCEPT, "Cache-Control": "no-cache" } }),
  "react-native-sse": (at, url) => {
    const EventSource = require("react-native-sse").default;
    listen(at, new EventSource(url));
  },
  "eventsource-parser": (at, url) =>
    decoded(at, url, async response => {
      const { EventSourceParserStream } = await import("eventsource-parser/stream");
      const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      for await (const it of events) event(at, it.event, it.data);
    }),
  "fetch-event-stream": (at, url) =>
    decoded(at, url, async response => {
      const { events } = await import("fetch-event-stream");
      for await (const it of events(response)) event(at, it.event, it.data);
    }),
  "parse-sse": (at, url) =>
    decoded(at, url, async response => {
      const { parseServerSentEvents } = await import("parse-sse");
      for await (const it of parseServerSentEvents(response)) event(at, it.type, it.data);
    }),
  "@azure/core-sse": (at, url) =>
    decoded(at, url, async response => {
      const { createSseStream } = await import("@azure/core-sse");
      for await (const it of createSseStream(response.body)) event(at, it.event, it.data);
    }),
};

// `sse.js` and `react-native-sse` need a browser's XMLHttpRequest. Each situation has a window of
// its own origin.
const windows = new AsyncLocalStorage();
if (client.startsWith("sse.js") || client === "react-native-sse") {
  const { JSDOM } = await import("jsdom");
  globalThis.XMLHttpRequest = function () { return new (windows.getStore().XMLHttpRequest)(); };
  Object.assign(XMLHttpRequest, { UNSENT: 0, OPENED: 1, HEADERS_RECEIVED: 2, LOADING: 3, DONE: 4 });
  for (const [at, url] of situations) {
    const { window } = new JSDOM("", { url });
    globalThis.CustomEvent = window.CustomEvent;
    windows.run(window, () => clients[client](at, url));
  }
} else {
  for (const [at, url] of situations) clients[client](at, url);
}
