// Shows the events of the token's user, until the page calls the function that this one returns, for
// example when the user logs out. In your own code:
//
// - Get a new ticket only once `readyState` is `CLOSED`. Before that, the browser waits for a random
//   time, so that clients don't all return at once. It then sends the used ticket, and gets a 401.
// - Set `last` in every event listener. Named events have ids too.
// - To end a stream for good, send an event whose listener closes the `EventSource`. Don't answer 204:
//   it closes the `EventSource`, so the page would get another ticket.
function listen(token, show, logIn) {
  let last = "", failures = 0, source = null, isOver = false;

  async function open() {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch("/tickets", { method: "POST", headers }).catch(() => null);
    const ticket = answer?.ok && await answer.text().catch(() => null);
    if (isOver) return;
    if (answer?.status === 401) return logIn();
    if (!ticket) return openLater();
    source = new EventSource(`/events?${new URLSearchParams({ ticket, last })}`);
    source.onopen = () => failures = 0;
    source.addEventListener("start", event => last = event.lastEventId);
    source.onmessage = event => { last = event.lastEventId; show(event.data); };
    // Until it is closed, the browser reconnects, at the time that the server has chosen.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) openLater(); };
  }

  // At once after a 401, before which the browser has waited. Then at random, up to 30 seconds.
  const openLater = () =>
    setTimeout(open, Math.random() * Math.min(30_000, 1000 * (2 ** failures++ - 1)));
  open();
  return () => { isOver = true; source?.close(); };
}
