// Calls the tool by the official client: client.mjs <package> <url> <seconds>

import { createRequire } from 'node:module';

const [name, url, seconds] = process.argv.slice(2);
const load = createRequire(`${process.env.PACKAGES}/`);
const modules = name.endsWith('/sdk')
    ? [load(`${name}/client/index.js`), load(`${name}/client/streamableHttp.js`)]
    : [load(name)];
const { Client, StreamableHTTPClientTransport } = Object.assign({}, ...modules);
// By default, the newer package speaks earlier versions too. The older one knows no other.
const versionNegotiation = { mode: { pin: '2026-07-28' } };

const call = async () => {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation });
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    const call = { name: 'boil', arguments: { dish: 'an egg', seconds: Number(seconds) } };
    // Longer than the call, and shorter than the test waits. The default is 60 seconds.
    const options = { timeout: (Number(seconds) + 10) * 1000 };
    const { content } = await (name.endsWith('/sdk')
        ? client.callTool(call, undefined, options)
        : client.callTool(call, options));
    return content[0].text;
};

console.log(await call().catch((error) => `${error.name}: ${error.message}`));
process.exit();
