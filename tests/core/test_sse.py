"""The event stream format, whatever its line ends and however its bytes are cut up.

The cases are those of the HTML standard's section on server-sent events, one for each
rule of it and for each example in it.
"""

import random

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.sse import EventParser, ServerEvent

BOM = b"\xef\xbb\xbf"


def events(*chunks: bytes) -> list[ServerEvent]:
    """Return what the chunks say, named events without data included."""
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def said(*chunks: bytes) -> list[tuple[str, str | None]]:
    """Return name and data of the events that the standard has dispatched."""
    return [(e.name, e.data) for e in events(*chunks) if e.data is not None]


def message(*texts: str) -> list[tuple[str, str]]:
    """Return unnamed events with these data."""
    return [("message", text) for text in texts]


CASES = {
    "a byte order mark is dropped": (BOM + b"data:1\n\ndata:2\n\n", message("1", "2")),
    "but one alone": (BOM + BOM + b"data:1\n\ndata:2\n\n", message("2")),
    "and at the start alone": (b"data:1\n\n" + BOM + b"data:2\n\n", message("1")),
    "comments are ignored": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + b"long" * 512
        + b"\rdata:3\n:data:no\r:\r\ndata:4\n\n",
        message("1\n2\n3\n4"),
    ),
    "an event that does not end is none": (b"retry:1000\ndata:1\n\nid:x\ndata:2",
        message("1")),
    "data without a colon is an empty line": (b"data:\n\ndata\ndata\n\ndata:test\n\n",
        message("", "\n", "test")),
    "an event has its name": (b"event:test\ndata:x\n\ndata:x\n\n",
        [("test", "x"), ("message", "x")]),
    "an empty name is none": (b"event: \ndata:data\n\n", message("data")),
    "the last name counts": (b"event:a\nevent:b\ndata:x\n\n", [("b", "x")]),
    "a name without data dispatches nothing": (b"event:a\n\ndata:x\n\n", message("x")),
    "ids are no data": (b"id:1\ndata:x\n\nid\ndata:y\n\n", message("x", "y")),
    "an id alone is no event": (b"id:1\n\n\n\ndata:x\n\n", message("x")),
    "an id may hold NUL, and means nothing": (b"id:1\0\ndata:x\n\n", message("x")),
    "fields are matched exactly": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\r"
        b"data:\r\n data:32\ndata:4\n\n",
        message("\0\n 2\n1\n3\n\n4"),
    ),
    "a retry that is no number is ignored": (b"retry:3000\nretry:1000x\ndata:x\n\n",
        message("x")),
    "a retry may be empty": (b"retry\ndata:x\n\n", message("x")),
    "a retry is no data": (b"retry:03000\ndata:x\n\n", message("x")),
    "unknown fields are ignored": (b"data:test\n data\ndata\nfoobar:x\ntext\n:comment\n\n",
        message("test\n")),
    "one leading space is dropped": (b"data:\ttest\rdata: \ndata:test\n\n",
        message("\ttest\n\ntest")),
    "lines end in LF, CR or CR LF": (b"data:test\r\ndata\ndata:test\r\n\r\n",
        message("test\n\ntest")),
    "NUL is data": (b"data:\0\n\n\n\n", message("\0")),
    "text is UTF-8": ("data:ok…\n\n".encode(), message("ok…")),
    "other line ends are data": ("data:a\u2028b\u0085c\x0bd\x0ce\n\n".encode(),
        message("a\u2028b\u0085c\x0bd\x0ce")),
    "the standard's first example": (b"data: YHOO\ndata: +2\ndata: 10\n\n",
        message("YHOO\n+2\n10")),
    "its second example": (
        b": test stream\n\ndata: first event\nid: 1\n\n"
        b"data:second event\nid\n\ndata:  third event\n\n",
        message("first event", "second event", " third event"),
    ),
    "its third example": (b"data\n\ndata\ndata\n\ndata:", message("", "\n")),
    "its fourth example": (b"data:test\n\ndata: test\n\n", message("test", "test")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_standards_format(name: str) -> None:
    """Each case whole, and byte by byte, and cut at random places."""
    stream, expected = CASES[name]
    assert len(CASES) == 27
    assert said(stream) == expected
    assert said(*(bytes([byte]) for byte in stream)) == expected
    draw = random.Random(name)  # noqa: S311 - the same cuts each time
    for _ in range(50):
        cuts = sorted(draw.choices(range(len(stream) + 1), k=draw.randint(1, 6)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        assert said(*pieces) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_comes_with_the_byte_that_ends_it(end: bytes) -> None:
    """Also in CR alone, where the next byte could still be half of a CR LF."""
    parser = EventParser()
    assert parser.feed(b"data:1" + end) == []
    assert parser.feed(end[:1]) == [ServerEvent("message", "1")]
    assert parser.feed(end[1:] + b"data:2" + end + end) == [ServerEvent("message", "2")]


@pytest.mark.parametrize(
    "line",
    [
        b"data:pass\xfdword", b"data:\xc3", b"event:\xff", b"dat\xe1:x", b"x:\xed\xa0\x80",
        b"\xff", b"\xc3:\xa9",
    ],
)  # fmt: skip
def test_an_event_that_is_not_utf8_is_unreadable(line: bytes) -> None:
    """None of it is returned, and the next event is parsed normally."""
    stream = b"data:1\n" + line + b"\n\ndata:2\n\n"
    assert events(stream) == [
        ServerEvent("", None, is_readable=False),
        ServerEvent("message", "2"),
    ]


def test_a_comment_may_hold_anything() -> None:
    """It is no part of an event."""
    assert events(b":\xff\ndata:1\n:\xfe\n\n") == [ServerEvent("message", "1")]


def test_a_named_event_without_data_is_handed_out() -> None:
    """The standard drops it; here it may say that something changed."""
    assert events(b"event:UPDATE\n\nevent:ping\ndata\n\n") == [
        ServerEvent("UPDATE", None),
        ServerEvent("ping", ""),
    ]


@pytest.mark.parametrize(
    ("field", "milliseconds"),
    [
        (b"2500", 2500), (b"007", 7), (b"-5", None), (b"1_000", None), (b"+1", None),
        ("٣".encode(), None), ("²".encode(), None), (b"", None), (b" 5", 5), (b"  5", None),
        (b"1.5", None), (b"9" * 5000, 10**18 - 1),
    ],
)  # fmt: skip
def test_a_reconnection_time_is_ascii_digits(
    field: bytes, milliseconds: int | None
) -> None:
    """Anything else is ignored, and so is what does not fit into a number."""
    parser = EventParser()
    parser.feed(b"retry:" + field + b"\n")
    assert parser.retry_milliseconds == milliseconds


def metered(*chunks: bytes) -> tuple[bool, int, int]:
    """Return what a parser holds after these chunks."""
    parser = EventParser()
    for chunk in chunks:
        parser.feed(chunk)
    return parser.is_open, parser.held_bytes, parser.comments


@pytest.mark.parametrize(
    ("stream", "is_open", "held", "comments"),
    [
        (b"", False, 0, 0),
        (b"d", True, 1, 0),
        (b"data: x\n", True, 7, 0),
        (b"data: x\n\n", False, 0, 0),
        (b"data: x\r\r", False, 0, 0),
        (b"data: x\r\n\r\n", False, 0, 0),
        (b"data: x\n\ndata: yy", True, 8, 0),
        (b": ping", False, 6, 0),
        (b": ping\n", False, 0, 1),
        (b": ping\n\n\n", False, 0, 1),
        (b"data: x\n: ping\ndata: y\n", True, 14, 1),
        (b"a:b\n\n:c\n\nd\n\n", False, 0, 1),
        (BOM + b"d", True, 1, 0),
    ],
)
def test_an_event_is_open_from_its_first_field_to_its_blank_line(
    stream: bytes, is_open: bool, held: int, comments: int
) -> None:
    """Field lines open an event, a blank line ends it, comments are counted apart."""
    assert metered(stream) == (is_open, held, comments)


PIECES = st.sampled_from(
    [b"data: x", b": ping", b"a", b":", b"\n", b"\r", b"\r\n", b"\xc3\xa9", b"event: e"]
)


@given(st.lists(PIECES, max_size=30), st.integers(min_value=1, max_value=7))
def test_cuts_make_no_difference(pieces: list[bytes], size: int) -> None:
    """However a stream is cut up, it says the same."""
    stream = b"".join(pieces)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert metered(*chunks) == metered(stream)
    assert events(*chunks) == events(stream)


@given(st.lists(PIECES, max_size=30))
def test_another_parser_reads_the_same(pieces: list[bytes]) -> None:
    """httpx-sse, given a stream it is fair to, finds the very same events."""
    stream = b"".join(pieces) + b"\n"
    headers = {"content-type": "text/event-stream"}
    other = EventSource(httpx.Response(200, headers=headers, content=stream))
    found = [(sse.event, sse.data) for sse in other.iter_sse() if sse.data]
    assert [(name, data) for name, data in said(stream) if data] == found
