/** Repeats a request until its run is over. A repeated `runId` joins the run that exists. */
export async function ask(agent, runId) {
  let isOver = false;
  const end = () => { isOver = true; };
  const subscriber = { onRunFinishedEvent: end, onRunErrorEvent: end };
  for (;;) {
    try {
      const result = await agent.runAgent({ runId }, subscriber);
      // Not over: a proxy has cut the answer, or has sent a page instead, such as a login page.
      if (isOver || agent.abortController.signal.aborted) return result;
    } catch (error) {
      // With such a status, the agent refuses the request for good.
      if (error.status < 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 + 1000 * Math.random()));
  }
}
