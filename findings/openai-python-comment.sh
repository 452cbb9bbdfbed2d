#!/usr/bin/env bash
# OpenAI's client for Python (3.57.0) takes a comment that is followed by an empty line for an event, but only once an event
# had an id: it reads the empty data as JSON and gives the rest of the answer up. By the HTML standard, such a block is no
# event. Without ids, the same comments do no harm.
# Seen on 1 December 2026: 4 of 4 chunks without ids, 1 of 4 with ids, then JSONDecodeError.
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --target packages \
    openai==3.57.0 2>/dev/null
cat >client.py <<'END'
import http.server
import json
import threading

import openai


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number in range(4):
            delta = {"index": 0, "delta": {"content": str(number)}}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
            identity = f"id: {number}\n" if self.path.startswith("/ids/") else ""
            self.wfile.write(f": waiting\n\n{identity}data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path in ("plain", "ids"):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/{path}", api_key="none", max_retries=0)
    chunks, end = 0, "complete"
    try:
        for _ in client.chat.completions.create(model="m", messages=[], stream=True):
            chunks += 1
    except Exception as error:
        end = type(error).__name__
    print(f"{path}: {chunks} of 4 chunks, {end}")
END
PYTHONPATH=packages python3 client.py | tee output
printf 'plain: 4 of 4 chunks, complete\nids: 1 of 4 chunks, JSONDecodeError\n' | cmp - output
