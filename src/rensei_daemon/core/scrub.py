"""Redact secrets in foreign text: known values, in the encodings they appear in.

Our own events and errors never contain a value, and nothing here is needed for them. This
is for text of others: a hook's output, a library's log line, a traceback. A value of fewer
than eight characters is not searched for: it would match everywhere.

The cost is bounded for any text and values, including crafted ones. The first eight bytes
of each form are indexed, and a text is searched once for those. A form is computed and
compared only where its beginning matches; after too many comparisons, the rest of the text
is left out.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from itertools import zip_longest
from sys import byteorder

from rensei_daemon.core.secret_encodings import (
    ANCHOR_BYTES,
    SHORTEST,
    anchors_of,
    beginnings_of,
    encodings_of,
    is_plain,
    pieces_of,
)

MOST_TEXT_BYTES = 64 * 1024
"""Of a foreign text; a longer one is cut."""
SEARCHED_BYTES = 2 * MOST_TEXT_BYTES
"""Where the end of a text is kept: what is before it may begin within a value, which is not
recognised. No form of a piece of a value is longer than that part: 16 bytes a character."""
FORMER_BYTES = 1024 * 1024
"""Of values no longer in force, which may still be quoted for a while."""
MOST_STEPS = 16_000
"""Comparisons per 64 KiB of a text."""
FEW = 64
"""Up to this many positions are searched for one beginning at a time."""
MARK = "[redacted]"
CUT = "[redacted: too much of the rest may be secret]"


class Scrubber:
    """The values to redact; call it with a text."""

    def __init__(self, former_bytes: int = FORMER_BYTES) -> None:
        self._owned: dict[str, frozenset[str]] = {}
        self._owners: dict[str, int] = {}
        """The number of owners of each value."""
        self._former: OrderedDict[str, None] = OrderedDict()
        self._former_left = former_bytes
        # The pieces that begin with these bytes, and how often. Other threads log
        # too: nothing here is iterated over while another thread may add to it.
        self._begins: dict[int, str | dict[str, int]] = {}

    def __repr__(self) -> str:
        """Show no value."""
        return f"Scrubber({len(self._owners) + len(self._former)} values)"

    def register(self, owner: str, values: Iterable[str]) -> None:
        """Redact these values from now on, instead of the owner's former ones.

        The former ones are redacted for a while longer; the oldest are forgotten
        first.
        """
        new = frozenset(value for value in values if len(value) >= SHORTEST)
        old = self._owned.get(owner, frozenset())
        self._owned[owner] = new
        if not new:
            del self._owned[owner]
        for value in new - old:
            self._add_value(value)
        for value in old - new:
            self._remove_value(value)

    def _add_value(self, value: str) -> None:
        owners = self._owners[value] = self._owners.get(value, 0) + 1
        if owners > 1:
            return
        if value in self._former:
            del self._former[value]
            self._former_left += len(value)
        else:
            self._index(value, 1)

    def _remove_value(self, value: str) -> None:
        self._owners[value] -= 1
        if self._owners[value]:
            return
        del self._owners[value]
        self._former[value] = None
        self._former_left -= len(value)
        while self._former_left < 0:
            oldest, _ = self._former.popitem(last=False)
            self._former_left += len(oldest)
            self._index(oldest, -1)

    def _index(self, value: str, change: int) -> None:
        for piece, is_line in pieces_of(value):
            for anchor in anchors_of(piece, is_line=is_line):
                self._count(int.from_bytes(anchor, byteorder), piece, change)

    def _count(self, anchor: int, piece: str, change: int) -> None:
        found = self._begins.get(anchor)
        if found is None:
            self._begins[anchor] = piece
            return
        counts = {found: 1} if isinstance(found, str) else found
        count = counts.get(piece, 0) + change
        if count:
            counts[piece] = count
        else:
            del counts[piece]
        if not counts:
            del self._begins[anchor]
        elif len(counts) == 1 == next(iter(counts.values())):
            (self._begins[anchor],) = counts
        else:
            self._begins[anchor] = counts

    def __call__(self, text: str, *, keep_end: bool = False) -> str:
        """Return the text with a mark in place of every known value.

        Of a text that is too long, the beginning is returned, or the end. Nothing is
        left of a value that is cut in two.
        """
        data = text.encode(errors="surrogatepass")
        is_cut = len(data) > MOST_TEXT_BYTES
        data = data[-SEARCHED_BYTES:] if keep_end else data[:MOST_TEXT_BYTES]
        search = _Search(self._begins, data, is_cut=is_cut and not keep_end)
        pieces: list[bytes] = []
        start = max(0, len(data) - MOST_TEXT_BYTES)
        for begin, end in search.spans():
            if end > start:
                pieces += data[start:begin], MARK.encode()
                start = end
        if search.stopped_at is not None:
            pieces += data[start : search.stopped_at], CUT.encode()
        elif is_cut and not keep_end:
            # Too little of a form to recognise it.
            pieces += data[start : len(data) - ANCHOR_BYTES + 1], " …".encode()
        else:
            pieces.append(data[start:])
        return b"".join(pieces).decode(errors="ignore" if is_cut else "surrogatepass")


class _Search:
    """The search of one text."""

    def __init__(
        self, begins: dict[int, str | dict[str, int]], data: bytes, *, is_cut: bool
    ) -> None:
        self._begins = begins
        self._data = data
        self._is_cut = is_cut
        self._steps = 0
        self._most_steps = MOST_STEPS * max(1, len(data) // MOST_TEXT_BYTES)
        self._begun: dict[tuple[str, bytes], Collection[bytes]] = {}
        self._spelled: dict[tuple[str, bytes], Collection[bytes]] = {}
        self.stopped_at: int | None = None
        """Where the search stopped, because it took too long."""

    def spans(self) -> Iterator[tuple[int, int]]:
        """Iterate over (begin, end) of what to redact; they neither touch nor overlap."""
        begin = end = 0
        for at in self._hits():
            length = self._length(at)
            if self._steps > self._most_steps:
                self.stopped_at = max(at, end)
                break
            if length and at > end:
                if end:
                    yield begin, end
                begin = at
            if length:
                end = max(end, at + length)
        if end:
            yield begin, end

    def _hits(self) -> Iterable[int]:
        """Return the positions where a known form may begin, in order."""
        data, windows = self._data, len(self._data) - ANCHOR_BYTES + 1
        if windows <= 0:
            return ()
        words = [
            memoryview(data)[shift : shift + (len(data) - shift) // 8 * 8].cast("Q")
            for shift in range(min(8, windows))
        ]
        # Most texts contain no form; this shows it without a loop in Python.
        found = set[int]().union(*(self._begins.keys() & view for view in words))
        if len(found) <= FEW:
            return merge(*map(self._positions, found))
        return (
            8 * index + shift
            for index, group in enumerate(zip_longest(*words))
            for shift, word in enumerate(group)
            if word in found
        )

    def _positions(self, word: int) -> Iterator[int]:
        anchor = word.to_bytes(ANCHOR_BYTES, byteorder)
        at = self._data.find(anchor)
        while at >= 0:
            yield at
            at = self._data.find(anchor, at + 1)

    def _length(self, at: int) -> int:
        """Return the length of the longest known form at this position; 0 if none."""
        anchor = self._data[at : at + ANCHOR_BYTES]
        found = self._begins.get(int.from_bytes(anchor, byteorder), ())
        pieces = (found,) if isinstance(found, str) else tuple(found)
        longest = 0
        for piece in pieces:
            if self._may_match(piece, anchor, at):
                for form in self._forms(piece, anchor):
                    if len(form) > longest and self._matches(form, at):
                        longest = len(form)
            if self._steps > self._most_steps:
                break
        return min(longest, len(self._data) - at)

    def _matches(self, form: bytes, at: int) -> bool:
        self._steps += 1 + len(form) // 512
        if self._data.startswith(form, at):
            return True
        left = len(self._data) - at
        return self._is_cut and left < len(form) and form.startswith(self._data[at:])

    def _may_match(self, piece: str, anchor: bytes, at: int) -> bool:
        """Return False if certainly no form of the piece is here; cheap."""
        if (piece, anchor) in self._spelled:
            return True
        return any(self._matches(head, at) for head in self._heads(piece, anchor))

    def _heads(self, piece: str, anchor: bytes) -> Collection[bytes]:
        """Return slightly longer beginnings of the piece's forms that begin so."""
        found = self._begun.get((piece, anchor))
        if found is None:
            self._steps += 30
            heads = beginnings_of(piece, 2 * ANCHOR_BYTES)
            found = [head for head in heads if head.startswith(anchor)]
            self._begun[piece, anchor] = found
        return found

    def _forms(self, piece: str, anchor: bytes) -> Collection[bytes]:
        """Return the piece's forms that begin so."""
        found = self._spelled.get((piece, anchor))
        if found is None:
            raw = piece.encode(errors="surrogatepass")
            self._steps += 1 + len(piece) // 64
            if raw.startswith(anchor) and is_plain(piece):
                found = [raw]
            else:
                self._steps += 40 + len(piece) // 2
                forms = {
                    form.encode(errors="surrogatepass") for form in encodings_of(piece)
                }
                found = [form for form in forms if form.startswith(anchor)]
            self._spelled[piece, anchor] = found
        return found


class Fingerprints:
    """Twelve hex digits that identify a value without showing it, for one key only."""

    def __init__(self, key: bytes) -> None:
        """`key` is random and of this process, so that nobody can test guesses."""
        self._key = key

    def of(self, value: str) -> str:
        """Return the value's fingerprint."""
        raw = value.encode(errors="surrogatepass")
        return hmac.new(self._key, raw, hashlib.sha256).hexdigest()[:12]
