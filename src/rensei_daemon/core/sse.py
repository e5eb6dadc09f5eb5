"""Server-sent events, byte by byte: where an event begins and ends, and how big it is.

Nothing here decodes an event. It lets whoever reads a stream notice an event that grows
without end or never completes, before either costs memory or time.
"""

_BOM = b"\xef\xbb\xbf"


class EventMeter:
    """Follows the bytes of one stream; it must be fed all of them, in order.

    Lines end with LF, CR or CR LF and may be split anywhere. An event is open from the
    first byte of a field line to the blank line that ends it; comment lines (those that
    begin with a colon, a stream's keepalives) open none.
    """

    def __init__(self) -> None:
        self.is_open = False
        """Whether an event has begun and not ended."""
        self.held_bytes = 0
        """Bytes whoever decodes the stream must be holding: the open event's lines and
        the line in progress."""
        self.comments = 0
        """Comment lines completed so far."""
        self.events = 0
        """Events ended so far, whatever they held."""
        self._line_bytes = 0
        self._in_comment = False
        self._after_cr = False
        self._head: bytes | None = b""

    def without_bom(self, chunk: bytes) -> bytes:
        """Return the bytes to decode: all but a byte order mark at the very start."""
        if self._head is None:
            return chunk
        head = self._head + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def feed(self, chunk: bytes) -> None:
        """Take note of the next bytes."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the other half of a CR LF that was counted as a line end
        self._after_cr = chunk.endswith(b"\r")
        for line in chunk.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self._take(text)
            if len(text) < len(line):
                self._end_line()

    def _take(self, text: bytes) -> None:
        if text and not self._line_bytes:
            self._in_comment = text.startswith(b":")
            self.is_open = self.is_open or not self._in_comment
        self._line_bytes += len(text)
        self.held_bytes += len(text)

    def _end_line(self) -> None:
        if not self._line_bytes:
            self.events += self.is_open
            self.is_open = False
            self.held_bytes = 0
        elif self._in_comment:
            self.comments += 1
            self.held_bytes -= self._line_bytes
        self._line_bytes = 0
        self._in_comment = False
