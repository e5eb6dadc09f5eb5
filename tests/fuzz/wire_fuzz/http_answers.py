"""How a body is put on the wire: rightly, or in one of the ways that HTTP can go wrong."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

MIB = 1024 * 1024
SILENCE_SECONDS = 15.0
"""Longer than any single answer is waited for."""
STATUSES = (
    "200 OK", "201 Created", "202 Accepted", "204 No Content", "206 Partial", "226 IM Used",
    "101 Switching", "199 x", "300 x", "301 Moved", "302 Found", "304 Not Modified",
    "307 Temporary", "308 Permanent", "400 Bad", "401 No", "403 No", "408 Slow", "409 No",
    "410 Gone", "413 Big", "418 Teapot", "425 Early", "429 Many", "500 No", "502 No",
    "503 Busy", "504 Late", "511 Login", "599 x", "600 x", "999 x",
)  # fmt: skip
GONE = ("404 Not Found", "405 Not Allowed")
TYPES = (
    "application/json", "application/json; charset=utf-16", "text/html", "text/plain",
    "application/octet-stream", "text/event-stream", "", ";;;", "application/json, a/b",
    "\u00ff\u00fe", "a" * 3000,
)  # fmt: skip
RETRY_AFTER = ("0", "1", "-1", "1.5", "x", "", "Mon, 01 Jan 0001 00:00:00 +2359")
DATES = (
    "", "x", "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359",
    "Sat, 28 Nov 2026 17:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 99999",
)  # fmt: skip
LOCATIONS = (
    "https://login.invalid/", "/login", "//u:p@host/", "http://[", "\u00ff", "x" * 5000, "",
    "file:///etc/passwd", "http://127.0.0.1:1/",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait between two pieces."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wired:
    """What goes over the connection."""

    steps: Sequence[bytes | Pause]
    keeps_open: bool = False
    """Whether the next request may come over the same connection."""


def right(body: bytes, *, status: str = "200 OK") -> Wired:
    """Send it as it should be."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return Wired([head.encode() + body], keeps_open=True)


def wrong(chance: Random, body: bytes, *, may_be_gone: bool) -> Wired:
    """Send it in a way that has something wrong with it, or at least rare."""
    content, headers = _packed(chance, body)
    status = chance.choice(STATUSES) if chance.random() < 0.3 else "200 OK"
    if may_be_gone and chance.random() < 0.03:
        status = chance.choice(GONE)
    lines = [_status_line(chance, status), *headers, *_odd_headers(chance)]
    framing, pieces = _framed(chance, content)
    head = "\r\n".join((*lines, *framing)).encode("latin-1", "replace") + b"\r\n\r\n"
    before = _informational(chance)
    if chance.random() < 0.03:
        return Wired(
            [(before + head + b"".join(map(_bytes, pieces)))[: chance.randint(0, 200)]]
        )
    steps = [before, *_slowly(chance, head), *pieces]
    if chance.random() < 0.01:
        # It falls silent somewhere within.
        steps = [*steps[: chance.randint(0, len(steps))], Pause(SILENCE_SECONDS)]
    return Wired(steps)


def _bytes(piece: bytes | Pause) -> bytes:
    return piece if isinstance(piece, bytes) else b""


def _status_line(chance: Random, status: str) -> str:
    if chance.random() < 0.96:
        return f"HTTP/1.1 {status}"
    return chance.choice(
        ("HTTP/1.0 200 OK", "HTTP/2 200", "HTTP/1.1 abc", "HTTP/1.1", "200 OK", "", "\0",
         "HTTP/1.1 200 " + "x" * 70_000, "HTTP/1.1 0200 OK", "SSH-2.0-OpenSSH_9.2")
    )  # fmt: skip


def _packed(chance: Random, body: bytes) -> tuple[bytes, list[str]]:
    """Pack the body, or not; return it with the headers that say so."""
    kind = chance.random()
    if kind < 0.75:
        return body, []
    if kind < 0.85:
        return gzip.compress(body, 1), ["Content-Encoding: gzip"]
    encoding = chance.choice(("gzip", "br", "deflate", "gzip, gzip", "identity", "x-gzip"))
    if kind < 0.9:
        return body, [f"Content-Encoding: {encoding}"]
    packed = gzip.compress(body, 1)
    if kind < 0.985:
        at = chance.randint(0, len(packed))
        broken = (packed[:at], packed[:at] + b"\xff" + packed[at:], packed + packed,
                  gzip.compress(packed), packed + b"junk")  # fmt: skip
        return chance.choice(broken), [f"Content-Encoding: {encoding}"]
    filling = chance.choice((b"[", b" ", b'"', b"0", b'{"a":', b"[],", b"\\u0000"))
    size = chance.choice((1, 15, 17, 64)) * MIB // len(filling)
    return gzip.compress(filling * size, 1), ["Content-Encoding: gzip"]


def _odd_headers(chance: Random) -> list[str]:
    headers = [f"Content-Type: {_often(chance, 'application/json', TYPES)}"]
    if chance.random() < 0.3:
        headers.append(f"Retry-After: {chance.choice(RETRY_AFTER)}")
    if chance.random() < 0.3:
        headers.append(f"Date: {chance.choice(DATES)}")
    if chance.random() < 0.3:
        headers.append(f"Location: {chance.choice(LOCATIONS)}")
    if chance.random() < 0.05:
        number, length = chance.choice(
            ((90, 10), (110, 10), (5000, 8), (40, 2000), (1, 70_000))
        )
        headers += [f"X-{i}: {'x' * length}" for i in range(number)]
    if chance.random() < 0.03:
        headers.append(chance.choice(("no colon", " folded: x", "a\0: b", ": x", "a b: c")))
    return headers


def _often(chance: Random, usual: str, others: Sequence[str]) -> str:
    return usual if chance.random() < 0.7 else chance.choice(others)


def _framed(chance: Random, content: bytes) -> tuple[list[str], list[bytes | Pause]]:
    """Return the headers that say where the body ends, and the body so framed."""
    kind = chance.random()
    if kind < 0.45:
        return [f"Content-Length: {len(content)}"], _slowly(chance, content)
    if kind < 0.75:
        return ["Transfer-Encoding: chunked"], _chunked(chance, content)
    if kind < 0.85:
        return ["Connection: close"], _slowly(chance, content)
    length = chance.choice(
        (len(content) + 9, len(content) // 2, 0, -1, 10**18, 10**30, "x")
    )
    headers = [f"Content-Length: {length}"]
    if chance.random() < 0.3:
        headers.append(f"Content-Length: {len(content)}")
    if chance.random() < 0.2:
        headers.append("Transfer-Encoding: chunked")
    return headers, [content]


def _chunked(chance: Random, content: bytes) -> list[bytes | Pause]:
    size = chance.choice((1, 2, 7, 100, 4096, 65_536, 1 << 24))
    if len(content) // size > 60_000:
        size = len(content) // 60_000 + 1
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    endings = (b"0\r\n\r\n", b"0\r\n\r\n", b"", b"0\r\nX: y\r\n\r\n", b"-1\r\n\r\n",
               b"z\r\n", b"ffffffffffffffff\r\n", b"1;" + b"x" * 70_000)  # fmt: skip
    return _slowly(chance, framed + chance.choice(endings))


def _slowly(chance: Random, data: bytes) -> list[bytes | Pause]:
    """Break the data up with pauses, now and then."""
    if chance.random() < 0.9:
        return [data]
    size = max(1, len(data) // chance.choice((2, 5, 20)))
    steps: list[bytes | Pause] = []
    for at in range(0, len(data), size):
        steps += data[at : at + size], Pause(chance.choice((0.0, 0.001, 0.01, 0.05)))
    return steps


def _informational(chance: Random) -> bytes:
    if chance.random() < 0.95:
        return b""
    times = chance.choice((1, 2, 50, 5000))
    return b"HTTP/1.1 %d x\r\n\r\n" % chance.choice((100, 102, 103, 150)) * times
