"""The clients of PyPI: `main.py CLIENT SITUATION=URL...`."""

import asyncio
import json
import os
import sys
import threading
import time

ACCEPT = {"Accept": "text/event-stream"}
ROOT = os.path.abspath(f"{os.path.dirname(__file__)}/../../..")


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def event(at, name, data):
    data = data or ""
    write({"at": at, "event": name or "", "data": data[:40], "size": len(data)})


def over(at, error=""):
    write({"at": at, "over": str(error)})


def httpx_sse(url, at):
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client() as client, connect_sse(client, "GET", url) as source:
        for it in source.iter_sse():
            event(at, it.event, it.data)


def httpx_connect(url, at):
    """`connect_sse` in a loop, whose requests say `Cache-Control: no-store`."""
    import httpx
    from httpx_sse import SSEError, connect_sse

    last = ""
    with httpx.Client(timeout=httpx.Timeout(5, read=45)) as client:
        while True:
            try:
                headers = {"Last-Event-ID": last} if last else {}
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        return
                    for it in source.iter_sse():
                        event(at, it.event, it.data)
                        last = it.id or last
            except (httpx.TransportError, SSEError):
                pass
            time.sleep(2)


def httpx_sse_program(url, at):
    """The program of docs/clients.md."""
    with open(f"{ROOT}/docs/clients.md", encoding="utf-8") as page:
        code = page.read().split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    for it in names["follow"](url):
        event(at, it.event, it.data)


def sseclient_py(url, at):
    import requests
    from sseclient import SSEClient

    response = requests.get(url, stream=True, headers=ACCEPT)
    for it in SSEClient(response).events():
        event(at, it.event, it.data)


def sseclient(url, at):
    from sseclient import SSEClient

    for it in SSEClient(url):
        event(at, it.event, it.data)


def requests_lines(url, at):
    """No library: data lines, as in many scripts."""
    import requests

    with requests.get(url, stream=True, headers=ACCEPT) as response:
        response.raise_for_status()
        for line in response.iter_lines(decode_unicode=True):
            if line.startswith("data:"):
                event(at, "", line[5:].strip())


def niquests(url, at):
    import niquests

    with niquests.Session() as session:
        response = session.get(url.replace("http://", "psse://"))
        response.raise_for_status()
        while not response.extension.closed:
            it = response.extension.next_payload()
            if it is not None:
                event(at, it.event, it.data)


def aiohttp_sse_client2(url, at, **options):
    from aiohttp_sse_client2 import client

    async def read():
        async with client.EventSource(url, **options) as source:
            async for it in source:
                event(at, it.type, it.data)

    asyncio.run(read())


def aiohttp_set(url, at):
    from aiohttp import ClientTimeout

    aiohttp_sse_client2(url, at, timeout=ClientTimeout(total=None, sock_read=45))


def launchdarkly(url, at, error_strategy=None):
    from ld_eventsource import SSEClient

    with SSEClient(url, error_strategy=error_strategy) as client:
        for it in client.events:
            event(at, it.event, it.data)


def launchdarkly_set(url, at):
    from ld_eventsource.config import ErrorStrategy

    launchdarkly(url, at, ErrorStrategy.always_continue())


CLIENTS = {
    "httpx-sse": httpx_sse,
    "httpx-sse, connect": httpx_connect,
    "httpx-sse, connect set": httpx_connect,
    "httpx-sse, set": httpx_sse_program,
    "sseclient-py": sseclient_py,
    "sseclient": sseclient,
    "requests": requests_lines,
    "niquests": niquests,
    "aiohttp-sse-client2": aiohttp_sse_client2,
    "aiohttp-sse-client2, set": aiohttp_set,
    "launchdarkly-eventsource": launchdarkly,
    "launchdarkly-eventsource, set": launchdarkly_set,
}


def run(client, url, at):
    try:
        client(url, at)
        over(at)
    except BaseException as error:  # also what a client raises to end the program
        over(at, repr(error)[:200])


client, *situations = sys.argv[1:]
threads = []
# The packages sseclient and sseclient-py are both the module `sseclient`.
folder = "python-sseclient" if client == "sseclient" else "python"
sys.path.insert(0, f"{ROOT}/target/clients/{folder}")
for situation in situations:
    at, url = situation.split("=", 1)
    threads.append(threading.Thread(target=run, args=(CLIENTS[client], url, at)))
    threads[-1].start()
# Some clients need a main thread that has not ended.
for thread in threads:
    thread.join()
