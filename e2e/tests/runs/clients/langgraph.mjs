// Starts a run, or joins one: langgraph.mjs <url> [<run>]

import { Client } from '@langchain/langgraph-sdk';
import { fail, goOn, report } from './report.mjs';

const [apiUrl, run] = process.argv.slice(2);
const client = new Client({ apiUrl, apiKey: null });

const steps = async () => {
    if (run) {
        report({ ready: true });
        await goOn();
    }
    const stream = run
        ? client.runs.joinStream('thread', run, { lastEventId: '0123456789abcdef-1' })
        : client.runs.stream('thread', 'graph', { input: {}, streamMode: 'values', streamResumable: true });
    for await (const { event, data } of stream) {
        if (event === 'values') report({ add: data.word });
    }
};

await steps().then(() => report({ end: 'complete' }), fail);
