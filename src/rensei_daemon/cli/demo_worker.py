"""The worker of the demo: a process that uses a credential and never restarts.

It implements the credential socket's protocol in a dozen lines, because a worker needs no
library. After each change it prints a JSON line about its values.
"""

import json
import os
import socket
import time


def main() -> None:
    """Connect, send HELLO, and print a report of each set of values until BYE."""
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
