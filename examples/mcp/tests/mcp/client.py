"""Calls the tool by the official client: client.py <mode> <url> <seconds>"""

import asyncio
import sys

from mcp import Client

mode, url, seconds = sys.argv[1:]


async def call():
    async with Client(url, mode=mode) as client:
        result = await client.call_tool("boil", {"dish": "an egg", "seconds": int(seconds)})
        return result.content[0].text


try:
    print(asyncio.run(call()))
except BaseException as error:
    # The client may wrap the error in groups.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"{type(error).__name__}: {error}")
