"""Says what a process knows of itself, as JSON, and ends as it is told to: for the tests of starts."""

import json
import os
import random
import secrets
import signal
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    files = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    known = {
        "words": sys.argv[1:],
        "environ": dict(os.environ),
        "folder": str(Path.cwd()),
        "group": os.getpgid(0) == os.getpid(),
        "input": sys.stdin.read(),
        "random": [secrets.token_hex(8), random.random().hex()],
        "threads": threading.active_count(),
        "sockets": [one for one in files if Path(f"/proc/self/fd/{one}").is_socket()],
        "signals": [signal.getsignal(one) is signal.SIG_DFL for one in (signal.SIGTERM, signal.SIGCHLD)],
        "name": __name__,
    }
    print(json.dumps(known), flush=True)
    if "wait" in sys.argv:
        time.sleep(600)
    if "raise" in sys.argv:
        raise ValueError("as told")
    sys.exit("said at the end" if "complain" in sys.argv else int(sys.argv[1]))
