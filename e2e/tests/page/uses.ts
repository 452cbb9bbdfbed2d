// Uses of the module that `tsc --strict` accepts, and some that it refuses: `.ci/slow page`.

import { EventStream, StreamError, type EventStreamOptions } from "../../../page/tower-sse.js";

const options: EventStreamOptions = {
  last: "e-7",
  poll: 8,
  headers: async isRenewed => ({ authorization: `Bearer ${isRenewed}` }),
  retry: status => (status === 404 ? true : undefined),
  signal: new AbortController().signal,
};
const source = new EventStream(new URL("https://localhost/events"), options);
source.onmessage = ({ data, lastEventId }) => console.log(data.length, lastEventId);
source.onerror = ({ why, status, wait }) => console.log(why === "silent", status + 1, wait ?? 0);
source.addEventListener("gap", event => console.log(event.data));
source.addEventListener("error", (event: StreamError) => console.log(event.why));
console.log(source.via === "poll", source.lastEventId, source.readyState === EventStream.CLOSED);

// It takes the place of an `EventSource`.
const other: EventSource = source;
const kind: typeof EventSource = EventStream;
other.onerror = () => {};
new kind("/events").close();

// @ts-expect-error: a number of seconds
new EventStream("/events", { poll: "8" });
// @ts-expect-error: there is no such reason
console.log(source.via === "tab");
