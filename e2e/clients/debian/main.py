"""Programs of Debian: `main.py CLIENT SITUATION=URL...` runs one for each situation, and reads what it prints."""

import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(__file__)
ACCEPT = "Accept: text/event-stream"
COMMANDS = {
    "curl": ["curl", "--silent", "--show-error", "--fail", "--no-buffer", "--header", ACCEPT],
    "wget": ["wget", "--quiet", "--output-document=-", f"--header={ACCEPT}"],
    "wget, set": ["wget", "--quiet", "--output-document=-", "--tries=1", f"--header={ACCEPT}"],
    "php": ["php", f"{HERE}/read.php"],
    "php, set": ["php", f"{HERE}/read.php", "set"],
    "ruby": ["ruby", f"{HERE}/read.rb"],
    "ruby, set": ["ruby", f"{HERE}/read.rb", "set"],
}


def run(client, at, url):
    process = subprocess.Popen([*COMMANDS[client], url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        # A client prints the beginning of a line too if the stream breaks off. A program would not
        # take this for an event.
        if line.startswith(b"data:") and line.endswith(b"\n"):
            data = line[5:].strip().decode()
            print(json.dumps({"at": at, "data": data[:40], "size": len(data)}), flush=True)
    error = process.stderr.read().decode()
    status = process.wait()
    print(json.dumps({"at": at, "over": f"status {status}: {error[:100]}" if status else ""}), flush=True)


client, *situations = sys.argv[1:]
for situation in situations:
    threading.Thread(target=run, args=(client, *situation.split("=", 1))).start()
