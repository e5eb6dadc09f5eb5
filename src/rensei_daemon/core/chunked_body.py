"""Decode a body in chunks, as HTTP/1.1 frames what has no length (RFC 9112, section 7.1).

What arrives of a chunk is returned at once, not when the chunk is complete. Extensions and
trailers say nothing that we know, and are skipped.
"""

import re
from collections.abc import Iterator

MOST_LINE_BYTES = 4096
"""Of a chunk's head or of all trailers; RFC 9112 asks for a limit and names none."""

_HEAD = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")


class ChunkedBody:
    """The decoder of one body; feed it all bytes, in order."""

    def __init__(self) -> None:
        self.is_complete = False
        """Whether the last chunk and the trailers have been read."""
        self._left = 0
        """Bytes of the chunk in progress that have not arrived."""
        self._line = b""
        """Of a head, of trailers, or of the end of a chunk, what has arrived."""
        self._is_between = False
        """Whether the end of a chunk is due."""
        self._trailer_bytes: int | None = None
        """None before the last chunk."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes hold; raises `ValueError`, which says what is wrong.

        Nothing is decoded before it is asked for: there may be many tiny chunks.
        """
        at = 0
        while at < len(data) and not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._is_between = not self._left
                yield piece
            else:
                at = self._take_line(data, at)

    def _take_line(self, data: bytes, at: int) -> int:
        """Take a line, or the part of it that is there; return where the rest begins."""
        end = data.find(b"\n", at) + 1
        self._line += data[at : end or len(data)]
        if len(self._line) > MOST_LINE_BYTES:
            raise ValueError("a chunk's head is too long")
        if not end:
            return len(data)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise ValueError("a chunk's line ends with no CR LF")
        self._end_line(line[:-2])
        return end

    def _end_line(self, line: bytes) -> None:
        if self._trailer_bytes is not None:
            self._take_trailer(self._trailer_bytes, line)
        elif self._is_between:
            self._is_between = False
            if line:
                raise ValueError("a chunk is longer than its head says")
        else:
            self._begin_chunk(line)

    def _begin_chunk(self, line: bytes) -> None:
        head = _HEAD.fullmatch(line)
        if head is None:
            raise ValueError("a chunk's head is no length")
        self._left = int(head[1], 16)
        if not self._left:
            self._trailer_bytes = 0

    def _take_trailer(self, before: int, line: bytes) -> None:
        self._trailer_bytes = before + len(line)
        if self._trailer_bytes > MOST_LINE_BYTES:
            raise ValueError("the trailers are too long")
        self.is_complete = not line
