// Calls the agent by an official client: client.mjs <package> <url> <action> <id>
// Prints what each event says. After an error, a stream is resubscribed to.
// The action `stop` streams a task twice, and cancels it when both streams have begun.

const [name, url, action, id] = process.argv.slice(2);
const sdk = await import(`${process.env.PACKAGES}/${name}/dist/client/index.js`);
const options = { serviceParameters: { 'x-user': 'ann' } };

// Version 1 speaks the protocol's version 0.3 only if it is asked to. It has types of its own.
const isNew = name === 'a2a-1';
const legacyCompat = { enabled: true };
const factory = new sdk.ClientFactory({
  transports: [new sdk.JsonRpcTransportFactory({ legacyCompat })],
  cardResolver: new sdk.DefaultAgentCardResolver({ legacyCompat }),
});
const text = isNew ? { content: { $case: 'text', value: 'Why?' } } : { kind: 'text', text: 'Why?' };
const message = isNew
  ? { messageId: id, role: 1, parts: [text], extensions: [], referenceTaskIds: [] }
  : { kind: 'message', messageId: id, role: 'user', parts: [text] };

const states = ['', 'submitted', 'working', 'completed', 'failed', 'canceled'];
const stateOf = ({ state }) => states[state] ?? state;
const textOf = ({ parts }) => parts.map((part) => part.text ?? part.content.value).join('');

/** Prints an event, and returns whether it is the last one. */
function print(event) {
  const { status, artifact, artifacts } = event.payload?.value ?? event;
  if (artifact) console.log(`text ${textOf(artifact)}`);
  else if (artifacts) console.log(`task ${stateOf(status)}: ${artifacts.map(textOf).join('')}`);
  else console.log(`status ${stateOf(status)}`);
  return ['completed', 'canceled'].includes(status && stateOf(status));
}

const client = await factory.createFromUrl(url);
const actions = {
  stream: () => client.sendMessageStream({ message }, options),
  resubscribe: () => client.resubscribeTask({ id }, options),
  send: async () => [await client.sendMessage({ message }, options)],
  get: async () => [await client.getTask({ id }, options)],
  cancel: async () => [await client.cancelTask({ id }, options)],
  async *stop() {
    const streams = [actions.stream(), actions.stream()];
    for (const stream of streams) yield (await stream.next()).value;
    yield* await actions.cancel();
    for (const stream of streams) yield* stream;
  },
};

let isOver = false;
try {
  for await (const event of await actions[action]()) isOver = print(event);
} catch (error) {
  console.log(`error ${error.message}`);
}
for (let tries = 0; action === 'stream' && !isOver && tries < 5; tries++) {
  try {
    for await (const event of actions.resubscribe()) isOver = print(event);
  } catch (error) {
    console.log(`error ${error.message}`);
  }
}
