/** Repeats a request until its run is over. The same `runId` joins the run that it has started. */
export async function ask(agent, runId) {
  for (;;) {
    try {
      return await agent.runAgent({ runId });
    } catch (error) {
      // Only the answer to a request that the agent refuses for good has such a status.
      if (error.status < 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 + 1000 * Math.random()));
    }
  }
}
