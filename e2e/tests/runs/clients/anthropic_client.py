"""anthropic_client.py <url>"""

import sys

from anthropic import Anthropic

from report import fail, report

client = Anthropic(base_url=sys.argv[1], api_key="none", max_retries=0)
try:
    messages = [{"role": "user", "content": "Ask"}]
    with client.messages.stream(model="m", max_tokens=9, messages=messages) as stream:
        for text in stream.text_stream:
            report(add=text)
    report(end="complete")
except Exception as error:
    fail(error)
