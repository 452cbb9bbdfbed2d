"""Starts a run, or joins one: langgraph_client.py <url> [<run>]"""

import asyncio
import sys

from langgraph_sdk import get_client

from report import fail, report


async def main(url, run=None):
    client = get_client(url=url, api_key=None)
    if run:
        report(ready=True)
        sys.stdin.readline()
        stream = client.runs.join_stream("thread", run, last_event_id="0123456789abcdef-1")
    else:
        stream = client.runs.stream(
            "thread", "graph", input={}, stream_mode="values", stream_resumable=True
        )
    async for part in stream:
        if part.event == "values":
            report(add=part.data["word"])


try:
    asyncio.run(main(*sys.argv[1:]))
    report(end="complete")
except Exception as error:
    fail(error)
