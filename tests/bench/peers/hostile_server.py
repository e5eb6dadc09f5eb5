"""A platform whose rotate stream misbehaves; everything else it does well.

The first stream begins with the value "one"; then something happens to it, and the value
is "two". Later streams begin with the current value, and so does every snapshot.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
HUGE = 64 * 2**20
KEEPALIVES = 10


class Server:
    """One server; `url` is its address."""

    def __init__(self, fault: "Fault") -> None:
        self.value, self.changed_at = "one", 0.0
        self._fault, self._streams = fault, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept connections until it is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(
                    target=self._answer, args=[connection], daemon=True
                ).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def event(self, end: str = "\n") -> bytes:
        """Return the event of the current value, with these ends of lines."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        update = {"type": "UPDATE", "delta": {"TOKEN": self.value}, "rotatedAt": now}
        return f"event: UPDATE{end}data: {json.dumps(update)}{end}{end}".encode()

    def change(self) -> None:
        """Have another value from now on."""
        self.value, self.changed_at = "two", time.monotonic()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while request := _request(connection):
                method, path, body = request
                if method == "GET":
                    self._stream(connection, path)
                    return
                connection.sendall(_json(self._json(path, body)))

    def _json(self, path: str, body: bytes) -> object:
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        if path.endswith("/snapshot"):
            return {"env": {"TOKEN": self.value}, "refreshUntil": until}
        if path.endswith("/register"):
            granted = {"workerId": "wkr_1", "runtimeToken": "a.b.c"}
            return {**granted, "heartbeatInterval": 30000, "runtimeTokenExpiresAt": until}
        return {"acknowledged": True, "pendingWorkCount": 0}

    def _stream(self, connection: socket.socket, path: str) -> None:
        self._streams += 1
        if self._streams == 1 or (self._fault is redirect and "moved" not in path):
            self._fault(self, connection)
            return
        _send(connection, self.event(), HEAD)
        _keep_open(connection)


Fault = Callable[[Server, socket.socket], None]


def one_octet_at_a_time(server: Server, stream: socket.socket) -> None:
    """The event of the new value comes in frames of one octet."""
    _begin(server, stream)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in server.event():
        _send(stream, bytes([octet]))
        time.sleep(0.002)
    _keep_open(stream)


def carriage_returns(server: Server, stream: socket.socket) -> None:
    """Its lines end with CR."""
    _begin(server, stream)
    _send(stream, server.event("\r"))
    _send(stream, b": a line that shows the event is complete\r")
    _keep_open(stream)


def split_crlf(server: Server, stream: socket.socket) -> None:
    """Its lines end with CR LF, in two frames each."""
    _begin(server, stream)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in server.event("\r\n").split(b"\r\n")[:-1]:
        _send(stream, part + b"\r")
        time.sleep(0.02)
        _send(stream, b"\n")
        time.sleep(0.02)
    _keep_open(stream)


def byte_order_mark(server: Server, stream: socket.socket) -> None:
    """The stream begins with a byte order mark, and its first event counts."""
    server.change()
    _send(stream, b"\xef\xbb\xbf" + server.event(), HEAD)
    _keep_open(stream)


def capped(server: Server, stream: socket.socket) -> None:
    """A gateway ends the stream; the value changes while it is away."""
    _begin(server, stream)
    stream.sendall(b"0\r\n\r\n")


def reset_amid_an_event(server: Server, stream: socket.socket) -> None:
    """The connection is reset when half of an event is there."""
    _begin(server, stream)
    _send(stream, server.event()[:40])
    time.sleep(0.2)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def unavailable(server: Server, stream: socket.socket) -> None:
    """The first stream is refused with 503."""
    server.change()
    stream.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def redirect(server: Server, stream: socket.socket) -> None:
    """Streams are elsewhere, on the same host."""
    server.change()
    place = b"Location: /moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    stream.sendall(b"HTTP/1.1 307 Elsewhere\r\n" + place)


def no_content(server: Server, stream: socket.socket) -> None:
    """The first stream is answered 204, with which a client of HTML5 stops."""
    stream.sendall(b"HTTP/1.1 204 None\r\nConnection: close\r\n\r\n")
    stream.close()
    time.sleep(2)
    server.change()


def huge_event(server: Server, stream: socket.socket) -> None:
    """A line of 64 MiB comes, and no end of it."""
    _begin(server, stream)
    _send(stream, b"data: ")
    for _ in range(HUGE // 2**20):
        _send(stream, b"x" * 2**20)
    _keep_open(stream)


def silence(server: Server, stream: socket.socket) -> None:
    """Keepalives stop, the connection stays open, and the new value is never sent on it."""
    _send(stream, server.event(), HEAD)
    for _ in range(KEEPALIVES):
        time.sleep(0.2)
        _send(stream, b": keepalive\n\n")
    server.change()
    _keep_open(stream)


FAULTS: dict[Fault, float] = {
    one_octet_at_a_time: 10,
    carriage_returns: 10,
    split_crlf: 10,
    byte_order_mark: 10,
    capped: 10,
    reset_amid_an_event: 10,
    unavailable: 10,
    redirect: 10,
    no_content: 15,
    huge_event: 20,
    silence: 60,
}
"""And the seconds within which a client has to have the new value."""


@contextmanager
def serving(fault: Fault) -> Iterator[Server]:
    """Serve while the block runs."""
    server = Server(fault)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.close()


def _send(stream: socket.socket, data: bytes, head: bytes = b"") -> None:
    """Send a chunk."""
    stream.sendall(head + f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _begin(server: Server, stream: socket.socket) -> None:
    _send(stream, server.event(), HEAD)
    time.sleep(1)  # every client has it, and rests
    server.change()


def _keep_open(stream: socket.socket) -> None:
    while stream.recv(65536):
        pass


def _request(connection: socket.socket) -> tuple[str, str, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(fields.get("content-length", 0)):
        body += connection.recv(65536)
    method, path, _ = lines[0].split(" ")
    return method, path, body


def _json(found: object) -> bytes:
    body = json.dumps(found).encode()
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {now}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
