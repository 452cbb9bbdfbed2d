// openai.mjs <url> [<retries>]

import OpenAI from 'openai';
import { fail, report } from './report.mjs';

const client = new OpenAI({
    baseURL: process.argv[2],
    apiKey: 'none',
    maxRetries: Number(process.argv[3] ?? 0),
    defaultHeaders: { 'x-run-id': 'completion' },
});

const ask = async () => {
    const messages = [{ role: 'user', content: 'Ask' }];
    const stream = await client.chat.completions.create({ model: 'm', messages, stream: true });
    for await (const chunk of stream) report({ add: chunk.choices[0]?.delta.content });
};

await ask().then(() => report({ end: 'complete' }), fail);
