"""Packed answers, unpacked piece by piece: a small one cannot grow without limit."""

import zlib
from collections.abc import Iterator, Mapping

PIECE_BYTES = 16 * 1024
"""The most that is unpacked at once."""

_GZIP = frozenset({"gzip", "x-gzip"})


class GzipDecoder:
    """Unpacks one body of gzip: one member, or several in a row (RFC 1952, section 2.2).

    Feeding it raises `zlib.error` for what is not gzip. Zero bytes after a member are
    padding, as gzip itself has it.
    """

    def __init__(self) -> None:
        self._member = _new_member()
        self._is_between = False
        """Whether a member has ended and no other one has begun."""

    @property
    def is_complete(self) -> bool:
        """Whether the last member has ended."""
        return self._is_between

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Unpack the next bytes; each piece has at most `PIECE_BYTES`, and may be empty."""
        piece = b""
        # What a full piece left behind comes out without any more bytes.
        while chunk or len(piece) == PIECE_BYTES:
            if self._is_between:
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._member, self._is_between = _new_member(), False
            piece = self._member.decompress(chunk, PIECE_BYTES)
            yield piece
            self._is_between = self._member.eof
            chunk = self._member.unused_data or self._member.unconsumed_tail


def _new_member() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=31)


def decoder_for(headers: Mapping[str, str]) -> GzipDecoder | None:
    """Return what unpacks a body with these headers; None when it is not packed.

    Raises `ValueError` for an encoding that nobody asked for. One that is named twice, as
    by a header that a proxy doubled, counts once.
    """
    named = headers.get("content-encoding", "").lower().split(",")
    codings = {name.strip() for name in named} - {"", "identity"}
    if not codings:
        return None
    if len(codings) > 1 or not codings <= _GZIP:
        raise ValueError("unknown encoding")
    return GzipDecoder()
