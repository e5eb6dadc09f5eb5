"""How late the daemon answers a small question: a HELLO on the credential socket.

    prober.py RUNTIME SESSION

It asks every few milliseconds; a line on stdin asks for the slowest answer since the last
such line, in seconds.
"""

import json
import select
import socket
import sys
import time
from pathlib import Path

PAUSE_SECONDS = 0.003


def ask(path: str, hello: bytes) -> float:
    """Return the seconds until the first line."""
    started = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(hello)
        client.recv(65536)
    return time.perf_counter() - started


def main() -> None:
    """Ask until stdin ends."""
    path = str(Path(sys.argv[1]) / "credentials.sock")
    hello = json.dumps({"type": "HELLO", "sessionId": sys.argv[2]}).encode() + b"\n"
    ask(path, hello)
    print('"ready"', flush=True)
    worst = 0.0
    while True:
        worst = max(worst, ask(path, hello))
        if select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(worst), flush=True)
            worst = 0.0


if __name__ == "__main__":
    main()
