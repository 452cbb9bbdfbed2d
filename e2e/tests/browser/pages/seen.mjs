// What a client has received, in the form in which the tests read it.

export const newSeen = () => ({
    opened: 0,
    errors: 0,
    // Whether the client has given up or regards its stream as complete: it does not reconnect.
    over: false,
    // [id, server]
    events: [],
    farewells: [],
    // The reconnection time that came with the farewell, where the client exposes it.
    retry: null,
    // [status, Retry-After]
    answers: [],
});

export function listen(source) {
    const seen = newSeen();
    source.onopen = () => seen.opened++;
    source.onerror = () => {
        seen.errors++;
        seen.over = source.readyState === 2;
    };
    source.onmessage = ({ lastEventId, data }) => seen.events.push([Number(lastEventId), data]);
    source.addEventListener('farewell', ({ data }) => seen.farewells.push(data));
    return seen;
}
