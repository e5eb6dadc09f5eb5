"""The readers of a host, in one process: clients of the credential socket, and files.

    readers.py RUNTIME SESSION …

A line `[COUNT]` on stdin asks for the next time that so many sessions were told and had
their file replaced; the answer is `{"told": [at, …], "replaced": [at, …]}`.
"""

import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")


class Readers:
    """Every session's client and file, watched by one thread."""

    def __init__(self, runtime: Path, sessions: list[str]) -> None:
        self._poll = select.poll()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        for session in sessions:
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(runtime / "credentials.sock"))
            client.sendall(f'{{"type":"HELLO","sessionId":"{session}"}}\n'.encode())
            client.recv(65536)
            self._sockets[client.fileno()] = (session, client)
            self._poll.register(client, select.POLLIN)
        libc = ctypes.CDLL(None)
        self._notify = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self._notify, os.fsencode(runtime), IN_MOVED_TO)
        self._poll.register(self._notify, select.POLLIN)

    def next(self, count: int) -> dict[str, list[float]]:
        """Return when each of so many sessions was told, and its file replaced."""
        told: dict[str, float] = {}
        replaced: dict[str, float] = {}
        deadline = time.monotonic() + 20
        while len(told) < count or len(replaced) < count:
            for descriptor, _ in self._poll.poll(100):
                now = time.perf_counter()
                if descriptor == self._notify:
                    for name in self._moved():
                        replaced.setdefault(name.removesuffix(".env"), now)
                else:
                    session, client = self._sockets[descriptor]
                    if not client.recv(65536):
                        raise ConnectionError(f"{session} was closed")
                    told.setdefault(session, now)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(told)} told, {len(replaced)} replaced")
        return {"told": [*told.values()], "replaced": [*replaced.values()]}

    def _moved(self) -> Iterator[str]:
        data = os.read(self._notify, 65536)
        while data:
            _, _, _, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
            data = data[_EVENT.size + length :]
            if name.endswith(".env"):
                yield name


def main() -> None:
    """Answer until stdin ends."""
    readers = Readers(Path(sys.argv[1]), sys.argv[2:])
    print('"ready"', flush=True)
    for line in sys.stdin:
        (count,) = json.loads(line)
        print('"waiting"', flush=True)
        print(json.dumps(readers.next(count)), flush=True)


if __name__ == "__main__":
    main()
