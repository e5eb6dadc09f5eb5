"""Unpacks gzip piece by piece, so that a small body cannot grow without limit."""

import zlib
from collections.abc import Iterator, Mapping

PIECE_BYTES = 16 * 1024
"""The largest piece."""

_GZIP = frozenset({"gzip", "x-gzip"})


class GzipDecoder:
    """Unpacks one gzip body of one or more members (RFC 1952, section 2.2).

    Raises `zlib.error` for bytes that are not gzip. Zero bytes after a member are padding,
    as in gzip itself.
    """

    def __init__(self) -> None:
        self._member = _new_member()
        self._is_between = False
        """Whether a member has ended and no other has begun."""

    @property
    def is_complete(self) -> bool:
        """Whether the last member has ended."""
        return self._is_between

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Unpack the next bytes, in pieces of at most `PIECE_BYTES`, which may be empty."""
        piece = b""
        # The rest after a full piece needs no more input.
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
    """Return the decoder of a body with these headers; None if it is not compressed.

    Raises `ValueError` for an encoding that was not requested. An encoding that is named
    twice, as when a proxy doubles the header, counts once.
    """
    named = headers.get("content-encoding", "").lower().split(",")
    codings = {name.strip() for name in named} - {"", "identity"}
    if not codings:
        return None
    if len(codings) > 1 or not codings <= _GZIP:
        raise ValueError("unknown encoding")
    return GzipDecoder()
