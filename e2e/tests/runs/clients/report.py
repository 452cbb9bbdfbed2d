"""What the test reads: a line of JSON for everything that happens."""

import json
import sys


def report(**line):
    print(json.dumps(line), flush=True)


def fail(error):
    report(end=f"{type(error).__name__}: {error}")
    print(repr(error), file=sys.stderr)
