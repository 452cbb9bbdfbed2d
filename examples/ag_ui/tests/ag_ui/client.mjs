// Asks by the official client, as a page does: client.mjs <user> <run> <url>...
// Prints each event, and at the end all messages, or the status of a refusal.

import { createRequire } from 'node:module';
import { ask } from '../../src/ask.mjs';

const { HttpAgent } = createRequire(`${process.env.PACKAGES}/`)('@ag-ui/client');
const [user, run, ...urls] = process.argv.slice(2);

// When a body fails, the client also rejects a promise of its own, which ends a process of Node.
process.on('unhandledRejection', () => {});

let requests = 0;
const agent = new HttpAgent({
  url: urls[0],
  threadId: 'thread',
  headers: user ? { 'x-user': user } : {},
  // A page that was reloaded has no messages.
  initialMessages: process.env.RELOADED ? [] : [{ id: 'question', role: 'user', content: 'Why?' }],
  // A load balancer gives each request to the next process.
  fetch: (_, init) => process.env.LOGGED_OUT && requests++ === 0
    ? Promise.resolve(new Response('Log in', { headers: { 'content-type': 'text/html' } }))
    : fetch(urls[requests++ % urls.length], init),
});
agent.subscribe({
  onEvent: ({ event }) => console.log(event.type, event.messageId ?? event.code ?? ''),
});
const messages = await ask(agent, run).then(() => agent.messages, (error) => error.status);
console.log(JSON.stringify(messages));
