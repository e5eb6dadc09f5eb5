"""Where events begin and end, however their bytes are cut up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.sse import EventMeter

PIECES = st.sampled_from(
    [b"data: x", b": ping", b"a", b":", b"\n", b"\r", b"\r\n", b"\xc3\xa9"]
)


def metered(*chunks: bytes) -> tuple[bool, int, int, int]:
    """Return what a meter says after these chunks."""
    meter = EventMeter()
    for chunk in chunks:
        meter.feed(chunk)
    return meter.is_open, meter.held_bytes, meter.comments, meter.events


@pytest.mark.parametrize(
    ("stream", "is_open", "held", "comments", "events"),
    [
        (b"", False, 0, 0, 0),
        (b"d", True, 1, 0, 0),
        (b"data: x\n", True, 7, 0, 0),
        (b"data: x\n\n", False, 0, 0, 1),
        (b"data: x\r\r", False, 0, 0, 1),
        (b"data: x\r\n\r\n", False, 0, 0, 1),
        (b"data: x\n\ndata: yy", True, 8, 0, 1),
        (b": ping", False, 6, 0, 0),
        (b": ping\n", False, 0, 1, 0),
        (b": ping\n\n\n", False, 0, 1, 0),
        (b"data: x\n: ping\ndata: y\n", True, 14, 1, 0),
        (b"a:b\n\n:c\n\nd\n\n", False, 0, 1, 2),
    ],
)
def test_an_event_is_open_from_its_first_field_to_its_blank_line(
    stream: bytes, is_open: bool, held: int, comments: int, events: int
) -> None:
    """Field lines open an event, a blank line ends it, comments are counted apart."""
    assert metered(stream) == (is_open, held, comments, events)


@given(st.lists(PIECES, max_size=30), st.integers(min_value=1, max_value=7))
def test_cuts_make_no_difference(pieces: list[bytes], size: int) -> None:
    """However a stream is cut up, the meter says the same of it."""
    stream = b"".join(pieces)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert metered(*chunks) == metered(stream)


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([b"\xef\xbb\xbfdata"], b"data"),
        ([b"\xef", b"\xbb", b"\xbf", b"da", b"ta"], b"data"),
        ([b"\xef", b"\xbbx"], b"\xef\xbbx"),
        ([b"data", b"\xef\xbb\xbf"], b"data\xef\xbb\xbf"),
        ([b"\xef\xbb\xbf\xef\xbb\xbf"], b"\xef\xbb\xbf"),
    ],
)
def test_one_byte_order_mark_is_dropped_at_the_start(
    chunks: list[bytes], text: bytes
) -> None:
    """Only the mark at the very start is left out, also when it comes in pieces."""
    meter = EventMeter()
    assert b"".join(meter.without_bom(chunk) for chunk in chunks) == text
