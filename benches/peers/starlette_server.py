"""The routes of `fan_out serve`, by sse-starlette on uvicorn with uvloop and httptools.

A queue for each client is what sse-starlette's example of broadcasting does; its look for a disconnect
before every event is left out, which is in favour of it.
"""

import asyncio
import os
import sys
import threading
import time

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

clients: set[asyncio.Queue] = set()
filler = ("the quick brown fox jumps over the lazy dog, " * 6)[:226]


def text(number: int) -> str:
    """As src/bin/fan_out/page.rs has it."""
    return f"{number:08} {filler}{time.monotonic_ns():020}~"


async def stream():
    queue = asyncio.Queue()
    clients.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        clients.discard(queue)


async def events(_request):
    return EventSourceResponse(stream())


async def publish(request):
    count, burst, gap = (int(request.query_params[name]) for name in ("events", "burst", "gap_ms"))
    start = time.monotonic()
    for number in range(1, count + 1):
        event = ServerSentEvent(data=text(number))
        for queue in clients:
            queue.put_nowait(event)
        if number % burst == 0:
            due = start + number // burst * gap / 1000
            await asyncio.sleep(max(0, due - time.monotonic()) if gap else 0)
    return PlainTextResponse("published")


async def lost(_request):
    return PlainTextResponse("lost 0")


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()
        print(f"listening on {host}:{port}", flush=True)


def leave_with_parent():
    """Ends the server together with the benchmark."""
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=leave_with_parent, daemon=True).start()
routes = [Route("/events", events), Route("/publish", publish), Route("/lost", lost)]
config = uvicorn.Config(
    Starlette(routes=routes),
    host="127.0.0.1",
    port=0,
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)
Server(config).run()
