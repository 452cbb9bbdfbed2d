// The Responses of OpenAI's API, read by `ai`, with their usage: ai_responses.mjs <url>

import { createOpenAI } from '@ai-sdk/openai';
import { streamText } from 'ai';
import { fail, report } from './report.mjs';

const ask = async () => {
    const { responses } = createOpenAI({ baseURL: process.argv[2], apiKey: 'none' });
    const onError = ({ error }) => { throw error; };
    const answer = streamText({ model: responses('m'), prompt: 'Ask', maxRetries: 0, onError });
    for await (const add of answer.textStream) report({ add });
    report({ end: `complete, ${(await answer.usage).outputTokens} tokens` });
};

await ask().catch(fail);
