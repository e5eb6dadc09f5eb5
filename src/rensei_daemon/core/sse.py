"""Parse server-sent events of the rotate stream from bytes.

Follows the event stream format of the HTML standard (section 9.2.6), with three differences
that a stream of credentials needs:

- Bytes are decoded strictly. The standard replaces invalid UTF-8; here such an event is
  returned as unreadable, because a damaged value must never reach a process.
- A named event without data is returned too. The standard drops it; here it may say that
  something changed.
- Ids are ignored: nothing is replayed, so nothing is resumed.

An event is returned with the byte that ends it, even where lines end in CR alone.
"""

from rensei_daemon.fast_dataclass import dataclass, field

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    """`message` if the event has no name."""
    data: str | None = field(repr=False)
    """None if the event has no data."""
    is_readable: bool = True
    """Whether it was valid UTF-8; if not, name and data are omitted."""


class EventParser:
    """The parser of one stream; feed it all bytes, in order.

    An event is open from the first byte of a field line to the blank line that ends it.
    Comment lines (a colon first, the usual keepalives) open none.
    """

    def __init__(self) -> None:
        self.is_open = False
        """Whether an event has begun and not ended."""
        self.held_bytes = 0
        """Bytes of the open event and of the line in progress."""
        self.comments = 0
        """Complete comment lines so far."""
        self.retry_milliseconds: int | None = None
        """The reconnection time that the stream last asked for."""
        self._head: bytes | None = b""
        self._after_cr = False
        self._line = bytearray()
        self._name = b""
        self._data: list[bytes] = []
        self._is_damaged = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Parse the next bytes; return the events that end in them."""
        chunk = self._without_bom(chunk)
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        events = []
        for line in chunk.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self.held_bytes += len(text)
            if len(text) == len(line):
                self._line += text
            else:
                event = self._end_line(bytes(self._line) + text if self._line else text)
                self._line.clear()
                if event is not None:
                    events.append(event)
        self.is_open = self.is_open or bool(self._line and self._line[:1] != b":")
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        """Remove a byte order mark at the very start of the stream."""
        if self._head is None:
            return chunk
        head = self._head + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _end_line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._end_event()
        if line.startswith(b":"):
            self.comments += 1
            self.held_bytes -= len(line)
            return None
        self.is_open = True
        name, _, value = line.partition(b":")
        self._take_field(name, value.removeprefix(b" "))
        return None

    def _take_field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        elif name == b"retry" and value.isdigit():  # of bytes: ASCII digits alone
            self.retry_milliseconds = int(value[:18])
        elif not _is_utf8(name + b":" + value):
            self._is_damaged = True

    def _end_event(self) -> ServerEvent | None:
        name, data, is_damaged = self._name, self._data, self._is_damaged
        self._begin_event()
        if is_damaged:
            return _UNREADABLE
        if not name and not data:
            return None
        try:
            text = b"\n".join(data).decode() if data else None
            return ServerEvent(name.decode() or "message", text)
        except UnicodeDecodeError:
            return _UNREADABLE

    def _begin_event(self) -> None:
        self.is_open = False
        self.held_bytes = 0
        self._name = b""
        self._data = []
        self._is_damaged = False


_UNREADABLE = ServerEvent("", None, is_readable=False)


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
