// Asks, or joins a run that another page has asked for: tanstack.mjs <url> [<run>]

import { ChatClient, fetchServerSentEvents } from '@tanstack/ai-client';
import { fail, report } from './report.mjs';

const [url, joined] = process.argv.slice(2);
let run;
const fetchClient = (input, init) => {
    const id = new Headers(init.headers).get('x-run-id');
    // The first request names the run, which is reported with the first words.
    run ??= id;
    return fetch(input, init);
};
const connection = fetchServerSentEvents(url, { fetchClient, reconnect: { delayMs: 10 } });

const join = async () => {
    for await (const chunk of connection.joinRun(joined)) {
        if (chunk.type === 'TEXT_MESSAGE_CONTENT') report({ add: chunk.delta });
    }
};

const ask = async () => {
    let text = '';
    let error;
    const client = new ChatClient({
        connection,
        onMessagesChange(messages) {
            const answer = messages.findLast(({ role }) => role === 'assistant');
            const now = answer?.parts.filter(({ type }) => type === 'text').map(({ content }) => content).join('') ?? '';
            if (text === '' && now !== '') report({ run });
            // A text that no longer begins as before is reported as a whole, after `≠`.
            if (now !== text) report({ add: now.startsWith(text) ? now.slice(text.length) : `≠${now}` });
            text = now;
        },
        onError: (it) => { error = it; },
    });
    await client.sendMessage('Ask');
    if (error) throw error;
};

await (joined ? join() : ask()).then(() => report({ end: 'complete' }), fail);
