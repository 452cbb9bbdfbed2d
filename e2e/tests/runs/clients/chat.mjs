// A chat of `ai`, without a framework.

const [name, url] = process.argv.slice(2);
const { AbstractChat, DefaultChatTransport } = await import(name);

class State {
    status = 'ready';
    error = undefined;
    constructor(messages) { this.messages = messages; }
    pushMessage = (message) => { this.messages = [...this.messages, message]; };
    popMessage = () => { this.messages = this.messages.slice(0, -1); };
    replaceMessage = (at, message) => { this.messages = this.messages.with(at, message); };
    snapshot = (value) => structuredClone(value);
}

export class Chat extends AbstractChat {
    constructor(id, messages = []) {
        // Aborts the page's connections, which a reload would close.
        const page = new AbortController();
        const ofPage = (input, init) => fetch(input, { ...init, signal: page.signal });
        super({
            id,
            transport: new DefaultChatTransport({
                api: url,
                fetch: ofPage,
                // As on the page about clients of runs.
                prepareReconnectToStreamRequest: ({ api, id }) => ({ api: `${api}/${id}/stream?tab=${Math.random()}` }),
            }),
            state: new State(messages),
        });
        this.page = page;
    }

    get answers() {
        return this.messages.filter(({ role }) => role === 'assistant').map(text);
    }
}

export const text = ({ parts }) => parts.filter(({ type }) => type === 'text').map((part) => part.text).join('');

export const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};
