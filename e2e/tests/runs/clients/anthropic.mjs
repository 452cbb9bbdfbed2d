// anthropic.mjs <url>

import Anthropic from '@anthropic-ai/sdk';
import { fail, report } from './report.mjs';

const client = new Anthropic({ baseURL: process.argv[2], apiKey: 'none', maxRetries: 0 });

const ask = async () => {
    const messages = [{ role: 'user', content: 'Ask' }];
    const stream = client.messages.stream({ model: 'm', max_tokens: 9, messages });
    stream.on('text', (add) => report({ add }));
    await stream.finalMessage();
};

await ask().then(() => report({ end: 'complete' }), fail);
