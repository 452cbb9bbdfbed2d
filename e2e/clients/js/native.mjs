// The EventSource of the runtime: Node's or Deno's.
import { event, situations } from "./report.mjs";

const NAMES = ["message", "start", "heartbeat", "gap"];

for (const [at, url] of situations) {
  const source = new EventSource(url);
  for (const name of NAMES) source.addEventListener(name, it => event(at, it.type, it.data));
}
