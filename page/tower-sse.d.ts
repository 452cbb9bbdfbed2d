/** Options of an {@link EventStream}. Each of them can be left out. */
export interface EventStreamOptions {
  /** The id after which the stream continues: the `lastEventId` of the stream before a reload. */
  last?: string;
  /**
   * The longest wait of a long poll in whole seconds, such as 8. The stream becomes long polls in
   * networks that hold streams back. The server needs `SseLayer::for_pages`. The default, 0, never
   * polls. Leave it out on routes with an early head: a stream without an event in its first five
   * seconds counts as held back. Leave it out also where each stream begins with the whole state,
   * because each poll would.
   */
  poll?: number;
  /**
   * The interval of the server's heartbeats in milliseconds, for servers whose heartbeats don't tell
   * it, unlike those of `SseLayer::for_pages`. The default is 15,000. Without this option, silence
   * counts only once a heartbeat has come.
   */
  beat?: number;
  /** Closes the stream this many milliseconds after the page was hidden, until it is shown. */
  hidden?: number;
  /** As of `EventSource`. */
  withCredentials?: boolean;
  /**
   * The requests' headers, or a function that returns them before each request. After a 401, the
   * function is called once more, with `true`. A second 401 closes the stream.
   */
  headers?: HeadersInit | ((isRenewed: boolean) => HeadersInit | Promise<HeadersInit>);
  /**
   * The body of a `POST`, for an answer. It is sent once: after a failure, a `GET` for the same URL
   * continues after the last id. Close the stream at the answer's last event.
   */
  body?: BodyInit;
  /**
   * Decides whether to try again after a status other than 200. Return `undefined` for the default:
   * again after 408, 425, 429 and 5xx. A 204 always closes the stream.
   */
  retry?: (status: number) => boolean | undefined;
  /** Closes the stream when it aborts. */
  signal?: AbortSignal;
  /** Takes the place of `fetch`, and reads the stream too. */
  fetch?: typeof fetch;
}

/** The event `error`. The stream's `readyState` says whether another try follows. */
export class StreamError extends Event {
  /**
   * - `end`: the stream has ended cleanly. The server wants the page to come back.
   * - `cut`: the connection broke.
   * - `silent`: heartbeats stayed away.
   * - `network`: there was no response, or one that the page may not see.
   * - `type`: the response was no event stream, but perhaps a page that asks for a log-in.
   * - `status`: the status was not 200. 204 means that the stream is over.
   */
  readonly why: "end" | "cut" | "silent" | "network" | "type" | "status";
  /** The response's status, or 0 if there was none. */
  readonly status: number;
  /** Milliseconds until the next try, or `null` if there is none, or if the browser makes it. */
  readonly wait: number | null;
}

interface EventStreamEventMap {
  open: Event;
  error: StreamError;
  message: MessageEvent<string>;
}

type Handler<E extends Event> = ((event: E) => unknown) | null;

/** Takes the place of `EventSource`, and comes back after failures. */
export class EventStream extends EventTarget implements EventSource {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;

  /** Makes the first request once the current task's listeners have been added. */
  constructor(url: string | URL, options?: EventStreamOptions);

  readonly url: string;
  readonly withCredentials: boolean;
  readonly readyState: 0 | 1 | 2;
  /** The newest id. Keep it with what the page shows, as the option `last` after a reload. */
  readonly lastEventId: string;
  /** How events come. */
  readonly via: "stream" | "poll";

  // When read, the handlers have the types of `EventSource`.
  get onopen(): EventSource["onopen"];
  set onopen(handler: Handler<Event>);
  get onmessage(): EventSource["onmessage"];
  set onmessage(handler: Handler<MessageEvent<string>>);
  get onerror(): EventSource["onerror"];
  set onerror(handler: Handler<StreamError>);
  /** Ends the stream. No request, timer or listener is left. */
  close(): void;

  addEventListener<K extends keyof EventStreamEventMap>(
    type: K,
    listener: (event: EventStreamEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: (event: MessageEvent<string>) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | ((event: MessageEvent<string>) => unknown) | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
