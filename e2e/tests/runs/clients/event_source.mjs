// The `EventSource` of the npm package `eventsource`: event_source.mjs <url>

import { EventSource } from 'eventsource';
import { report } from './report.mjs';

const source = new EventSource(process.argv[2]);
source.onmessage = ({ data }) => report({ add: data });
source.addEventListener('interrupted', ({ lastEventId }) => report({ interrupted: lastEventId }));
// After an error, the EventSource reconnects unless it is closed.
source.onerror = ({ code }) => {
    if (source.readyState === EventSource.CLOSED) report({ end: `${code}` });
};
