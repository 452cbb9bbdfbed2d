// A chat that is reloaded: ai.mjs <package> <url>

import { Chat, text, until } from './chat.mjs';
import { fail, report } from './report.mjs';

const url = process.argv[3];
const length = (chat) => chat.answers.at(-1)?.length ?? 0;

/** Asks, and reloads the page when a part of the answer has come. */
const reload = async (chat, restore) => {
    const before = chat.answers.length;
    chat.sendMessage({ text: 'Ask' }).catch(() => {});
    await until(() => chat.answers.length > before && length(chat) > 100);
    const messages = structuredClone(chat.messages);
    const stored = restore(messages);
    chat.page.abort();
    const reloaded = new Chat(chat.id, stored);
    await reloaded.resumeStream();
    report({ resumed: { answers: reloaded.answers, before: text(messages.at(-1)).length, status: reloaded.status } });
    return reloaded;
};

const steps = async () => {
    const idle = new Chat('idle');
    await idle.resumeStream();
    report({ idle: { status: idle.status, messages: idle.messages.length } });

    // First as if a server stored complete messages only, then as if the page stored what it shows.
    let chat = await reload(new Chat('chat'), (messages) => messages.slice(0, -1));
    const first = await lastId('chat');
    chat = await reload(chat, (messages) => messages);

    // A stop button of the first turn, whose request comes during the third.
    let turn = chat.sendMessage({ text: 'Ask' });
    await until(() => chat.answers.length > 2 && length(chat) > 100);
    let status = await stop('chat', first);
    await turn;
    report({ late: { status, answer: chat.answers.at(-1) } });

    turn = chat.sendMessage({ text: 'Ask' });
    await until(() => chat.answers.length > 3 && length(chat) > 100);
    status = await stop('chat', await firstId('chat'));
    await turn;
    report({ stopped: { status, answer: chat.answers.at(-1) } });
};

const stop = async (chat, id) => {
    const headers = { 'last-event-id': id };
    return (await fetch(`${url}/${chat}/stream`, { method: 'DELETE', headers })).status;
};

const ids = (text) => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);

/** Returns the last id of an answer that has ended. */
const lastId = async (chat) => ids(await (await fetch(`${url}/${chat}/stream`)).text()).at(-1);

/** Returns the first id of an answer that goes on. */
const firstId = async (chat) => {
    const response = await fetch(`${url}/${chat}/stream`);
    let read = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        read += chunk;
        if (/^id: .*\n/m.test(read)) break;
    }
    return ids(read)[0];
};

await steps().then(() => report({ end: 'complete' }), fail);
