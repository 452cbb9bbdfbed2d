"""What the test reads: a line of JSON for everything that happens."""

import json
import sys


def report(**line):
    print(json.dumps(line), flush=True)


def fail(error):
    name = type(error).__name__
    # `body` is the error that the server sent.
    report(end=f"{name}: {error}", kind=name, error=getattr(error, "body", None))
    print(repr(error), file=sys.stderr)
