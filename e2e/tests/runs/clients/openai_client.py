"""openai_client.py <url> [<retries>]"""

import sys

from openai import OpenAI

from report import fail, report

client = OpenAI(
    base_url=sys.argv[1],
    api_key="none",
    max_retries=int(sys.argv[2]) if len(sys.argv) > 2 else 0,
    default_headers={"x-run-id": "completion"},
)
try:
    messages = [{"role": "user", "content": "Ask"}]
    for chunk in client.chat.completions.create(model="m", messages=messages, stream=True):
        report(add=chunk.choices[0].delta.content)
    report(end="complete")
except Exception as error:
    fail(error)
