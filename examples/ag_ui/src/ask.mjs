/** Repeats a request until its run is over. The same `runId` joins the run that it has started. */
export async function ask(agent, runId) {
  let isOver = false;
  const end = () => { isOver = true; };
  const subscriber = { onRunFinishedEvent: end, onRunErrorEvent: end };
  for (;;) {
    try {
      const result = await agent.runAgent({ runId }, subscriber);
      // Not over: a proxy has cut the answer, or has sent a page in its place, such as a log-in.
      if (isOver || agent.abortController.signal.aborted) return result;
    } catch (error) {
      // Only the answer to a request that the agent refuses for good has such a status.
      if (error.status < 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 + 1000 * Math.random()));
  }
}
