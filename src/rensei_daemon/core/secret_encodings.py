"""The forms in which a secret stands in foreign text, and how each of them begins.

A long value is looked for in pieces, so that no form is longer than a few KiB, and a value
of many lines also line by line.
"""

import base64
import re
from collections.abc import Iterator
from itertools import islice
from json.encoder import encode_basestring, encode_basestring_ascii
from urllib.parse import quote

from rensei_daemon.core.env_file import escape

SHORTEST = 8
"""Fewer characters than this would be found everywhere."""
ANCHOR_BYTES = 8
"""So many bytes of a form's beginning are what it is looked up by."""
MOST_LINES = 256
"""Of one value that are looked for by themselves; a key has some fifty."""

_PIECE = 4096
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_URL_SAFE = str.maketrans("+/", "-_")


def pieces_of(value: str) -> Iterator[tuple[str, bool]]:
    """Iterate over (what is to be looked for, whether as a line only)."""
    last = max(len(value) - SHORTEST, 0)
    for start in range(0, last + 1, _PIECE):
        end = start + _PIECE
        yield (value[start:end] if end <= last else value[start:]), False
    if "\n" in value or "\r" in value:
        for line in islice(value.splitlines(), MOST_LINES):
            if SHORTEST <= len(line) < len(value):
                yield line[:_PIECE], True


def anchors_of(piece: str, *, is_line: bool = False) -> set[bytes]:
    """Return how the forms of a piece begin; of a line, how it begins as it is."""
    if is_line:
        return {_raw(piece[:ANCHOR_BYTES])[:ANCHOR_BYTES]}
    return beginnings_of(piece, ANCHOR_BYTES)


def beginnings_of(piece: str, count: int) -> set[bytes]:
    """Return the first bytes of every form, so many or a few less, at little cost."""
    head = piece[: count + 4]  # decides them: the digits of base64 take the longest
    if is_plain(head):
        forms = {head, *_encoded(head.encode())}
    else:
        # Which quotes `repr` takes, and so which it escapes, depends on the whole value.
        forms = {*spell(head), *_reprs(f"{head}'\"")}
    return {_raw(form)[:count] for form in forms}


def is_plain(piece: str) -> bool:
    """Whether every form but hex and base64 is the piece itself."""
    return _PLAIN.fullmatch(piece) is not None


def forms_of(value: str) -> Iterator[str]:
    """Spell a value as it is found in the wild: as it is, quoted, encoded, line by line."""
    yield from value.splitlines()
    yield from spell(value)


def spell(value: str) -> Iterator[str]:
    """Spell a value whole: as it is, quoted, and encoded."""
    yield value
    for in_json in (encode_basestring_ascii, encode_basestring):
        inside = in_json(value)[1:-1]
        yield inside
        yield in_json(inside)[1:-1]  # JSON within JSON
    yield from _reprs(value)
    yield escape(value)
    raw = _raw(value)
    quoted = quote(raw, safe="")
    yield from (quoted, quoted.replace("%2F", "/"), quoted.replace("%20", "+"))
    yield from _encoded(raw)


def _reprs(value: str) -> Iterator[str]:
    yield repr(value)[1:-1]
    yield repr(_raw(value))[2:-1]


def _encoded(raw: bytes) -> Iterator[str]:
    yield from (raw.hex(), raw.hex().upper())
    for offset in range(3):
        code = _base64_inside(raw, offset)
        yield code
        yield code.translate(_URL_SAFE)


def _base64_inside(raw: bytes, offset: int) -> str:
    """Return the base64 digits that stand for these bytes alone.

    Where in a longer text a value begins (`user:VALUE`) makes three different codes of
    it; the digits at its ends also hold bits of its neighbours and are left out.
    """
    code = base64.b64encode(b"\0" * offset + raw).decode()
    bits = 8 * (offset + len(raw))
    return code[-(-8 * offset // 6) : bits // 6]


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
