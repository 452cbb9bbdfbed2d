// genai.mjs <url>

import { GoogleGenAI } from '@google/genai';
import { fail, report } from './report.mjs';

const ask = async () => {
    const client = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: process.argv[2] } });
    const stream = await client.models.generateContentStream({ model: 'm', contents: 'Ask' });
    for await (const chunk of stream) report({ add: chunk.text });
};

await ask().then(() => report({ end: 'complete' }), fail);
