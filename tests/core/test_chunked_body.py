"""Bodies in chunks, however their bytes are cut up."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.chunked_body import MOST_LINE_BYTES, ChunkedBody

LAST = b"0\r\n\r\n"


def decoded(*chunks: bytes) -> tuple[bytes, bool]:
    """Return what the bytes hold, and whether the body is complete."""
    body = ChunkedBody()
    pieces = [piece for chunk in chunks for piece in body.feed(chunk)]
    assert all(pieces)
    return b"".join(pieces), body.is_complete


def by_h11(data: bytes) -> tuple[bytes, bool]:
    """Return the same as another decoder sees it; raises its errors."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.receive_data(head + data)
    found = b""
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.EndOfMessage):
            return found, True
        found += bytes(event.data) if isinstance(event, h11.Data) else b""
    return found, False


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"3\r\nabc\r\n" + LAST, (b"abc", True)),
        (
            b"0003;name=value\r\nabc\r\nA \r\n0123456789\r\n" + LAST,
            (b"abc0123456789", True),
        ),
        (b"1\r\n\r\r\n1\r\n\n\r\n" + LAST, (b"\r\n", True)),
        (b"3\r\nabc\r\n0\r\nname: value\r\nother: value\r\n\r\n", (b"abc", True)),
        (LAST + b"what follows", (b"", True)),
        (b"3\r\nabc\r\n0\r\nname: value\r\n", (b"abc", False)),
        (b"3\r\nabc\r\n", (b"abc", False)),
        (b"3\r\nab", (b"ab", False)),
        (b"3\r", (b"", False)),
        (b"", (b"", False)),
    ],
)
def test_bodies_are_decoded_wherever_they_are_cut(
    data: bytes, found: tuple[bytes, bool]
) -> None:
    """As a whole, by octets, and as another decoder does it."""
    octets = [data[at : at + 1] for at in range(len(data))]
    assert decoded(data) == decoded(*octets) == by_h11(data) == found


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"x\r\n", "a chunk's head is no length"),
        (b"-1\r\n", "a chunk's head is no length"),
        (b"\r\n", "a chunk's head is no length"),
        (b"1_0\r\n", "a chunk's head is no length"),
        (b"f" * 17 + b"\r\n", "a chunk's head is no length"),
        (b"3\nabc\r\n", "a chunk's line ends with no CR LF"),
        (b"1\r\nab\r\n", "a chunk is longer than its head says"),
        (b"1\r\na\n", "a chunk's line ends with no CR LF"),
        (b"1;" + b"x" * MOST_LINE_BYTES, "a chunk's head is too long"),
        (b"0\r\n" + b"name: value\r\n" * 400, "the trailers are too long"),
    ],
)
def test_what_is_no_body_in_chunks_is_refused(data: bytes, complaint: str) -> None:
    """The text says what is wrong, and quotes nothing."""
    octets = [data[at : at + 1] for at in range(len(data))]
    for cut in ([data], octets):
        with pytest.raises(ValueError, match=f"^{complaint}$"):
            decoded(*cut)


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(1, 50))
def test_any_chunks_are_decoded_wherever_they_are_cut(
    chunks: list[bytes], size: int
) -> None:
    """What was framed comes out, and the end is seen."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + LAST
    cuts = [framed[at : at + size] for at in range(0, len(framed), size)]
    assert decoded(*cuts) == (b"".join(chunks), True)


def test_nothing_is_decoded_before_it_is_asked_for() -> None:
    """Thousands of tiny chunks that arrive together delay nobody."""
    body = ChunkedBody()
    pieces = body.feed(b"1\r\na\r\n" * 10_000 + b"x")
    assert next(pieces) == next(pieces) == b"a"
