"""The encodings in which a secret appears in foreign text, and how each begins.

A long value is searched for in pieces, so that no form is longer than a few KiB, and a
value of many lines also line by line.
"""

import re
from binascii import b2a_base64
from collections.abc import Iterator
from itertools import islice
from json.encoder import encode_basestring, encode_basestring_ascii
from urllib.parse import quote

from rensei_daemon.core.env_file import escape

SHORTEST = 8
"""A shorter value would match everywhere."""
ANCHOR_BYTES = 8
"""The number of bytes of a form's beginning that are indexed."""
MOST_LINES = 256
"""Lines of one value that are searched for separately; a private key has about fifty."""

_PIECE = 4096
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_IN_URLS_ONLY = re.compile(r"[A-Za-z0-9_.+/=:,;@%&?#~*|<>{}()\[\]^ -]+")
"""Only a URL spells these in another way: no JSON, no `repr`, no env file."""


def pieces_of(value: str) -> Iterator[tuple[str, bool]]:
    """Iterate over (text to search for, whether it is only a line of the value)."""
    last = max(len(value) - SHORTEST, 0)
    for start in range(0, last + 1, _PIECE):
        end = start + _PIECE
        yield (value[start:end] if end <= last else value[start:]), False
    if "\n" in value or "\r" in value:
        for line in islice(value.splitlines(), MOST_LINES):
            if SHORTEST <= len(line) < len(value):
                yield line[:_PIECE], True


def anchors_of(piece: str, *, is_line: bool = False) -> set[bytes]:
    """Return the beginnings of a piece's forms; of a line, only its own beginning."""
    if is_line:
        return {_raw(piece[:ANCHOR_BYTES])[:ANCHOR_BYTES]}
    return beginnings_of(piece, ANCHOR_BYTES)


def beginnings_of(piece: str, count: int) -> set[bytes]:
    """Return the first bytes, about `count`, of every form; cheap."""
    head = piece[: count + 4]  # decides them: base64 needs the most
    if is_plain(head):
        forms = {head, *_encoded(head.encode())}
    elif _IN_URLS_ONLY.fullmatch(head):
        forms = {head, *_in_urls(head.encode()), *_encoded(head.encode())}
    else:
        # Which quotes `repr` uses, and so which it escapes, depends on the whole
        # value.
        forms = {*encodings_of(head), *_reprs(f"{head}'\"")}
    return {_raw(form)[:count] for form in forms}


def is_plain(piece: str) -> bool:
    """Whether every form except hex and base64 equals the piece."""
    return _PLAIN.fullmatch(piece) is not None


def forms_of(value: str) -> Iterator[str]:
    """Return the forms of a value: plain, quoted, encoded, line by line."""
    yield from value.splitlines()
    yield from encodings_of(value)


def encodings_of(value: str) -> Iterator[str]:
    """Return the forms of a whole value: plain, quoted and encoded."""
    yield value
    for in_json in (encode_basestring_ascii, encode_basestring):
        inside = in_json(value)[1:-1]
        yield inside
        yield in_json(inside)[1:-1]  # JSON within JSON
    yield from _reprs(value)
    yield escape(value)
    raw = _raw(value)
    yield from _in_urls(raw)
    yield from _encoded(raw)


def _in_urls(raw: bytes) -> Iterator[str]:
    quoted = quote(raw, safe="")
    yield from (quoted, quoted.replace("%2F", "/"), quoted.replace("%20", "+"))


def _reprs(value: str) -> Iterator[str]:
    yield repr(value)[1:-1]
    yield repr(_raw(value))[2:-1]


def _encoded(raw: bytes) -> Iterator[str]:
    in_hex = raw.hex()
    yield from (in_hex, in_hex.upper())
    for offset in range(3):
        code = _base64_inside(raw, offset)
        yield code
        yield code.replace("+", "-").replace("/", "_")


def _base64_inside(raw: bytes, offset: int) -> str:
    """Return the base64 digits that depend on these bytes only.

    The position of a value in a longer text (`user:VALUE`) gives three different
    encodings; the digits at its ends also depend on the neighbouring bytes and are left
    out.
    """
    code = b2a_base64(b"\0" * offset + raw, newline=False).decode()
    bits = 8 * (offset + len(raw))
    return code[-(-8 * offset // 6) : bits // 6]


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
