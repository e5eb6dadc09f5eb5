"""The worker of the demo: a process that uses a credential and never restarts.

It speaks the credential socket's protocol in a dozen lines, to show that a worker needs
no library of ours, and says on stdout, a JSON line each time, what it now holds.
"""

import json
import os
import socket
import time


def main() -> None:
    """Connect, say hello, and report every set of values that comes, until told BYE."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["RENSEI_CREDENTIAL_SOCKET"])
        hello = {"type": "HELLO", "sessionId": os.environ["RENSEI_CREDENTIAL_SESSION_ID"]}
        connection.sendall(json.dumps(hello).encode() + b"\n")
        values: dict[str, str] = {}
        for line in connection.makefile("rb"):
            frame = json.loads(line)
            if frame["type"] == "BYE":
                return
            values |= frame.get("env") or frame.get("delta") or {}
            report = {"at": time.monotonic(), "values": values}
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
