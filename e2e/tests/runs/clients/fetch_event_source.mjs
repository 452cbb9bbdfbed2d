// fetch_event_source.mjs <url>

import { fail, report } from './report.mjs';

// The package expects a page.
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.window = globalThis;
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

let fatal;
await fetchEventSource(process.argv[2], {
    method: 'POST',
    async onopen(response) {
        if (!response.ok) throw (fatal = new Error(`${response.status}`));
    },
    onmessage: ({ data }) => report({ add: data }),
    // If `onerror` doesn't throw, the client reconnects, as after a network error.
    onerror(error) {
        if (fatal) throw error;
    },
}).then(() => report({ end: 'complete' }), fail);
