// One answer: ai_ask.mjs <package> <url>

import { Chat } from './chat.mjs';
import { fail, report } from './report.mjs';

let shown = '';
const chat = new Chat('chat');
const show = () => {
    const answer = chat.answers[0] ?? '';
    if (answer !== shown) report({ add: answer.slice(shown.length) });
    shown = answer;
};
const watch = setInterval(show, 5);
await chat.sendMessage({ text: 'Ask' });
clearInterval(watch);
show();
chat.error ? fail(chat.error) : report({ end: chat.status === 'ready' ? 'complete' : chat.status });
