"""Foreign text without our secrets: known values, and the forms they travel in, go.

Our own events and errors never hold a value, and nothing here is needed for them. This
is for what others wrote: a hook's output, a library's log line, a traceback. A value of
fewer than eight characters is not looked for: it would be found everywhere.
"""

import base64
import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from urllib.parse import quote, quote_plus

from rensei_daemon.core.env_file import escape

SHORTEST = 8
MOST_VALUES = 4096
"""Those seen longest ago are forgotten first; a rotated one may still be quoted."""
MARK = "[redacted]"

_URL_SAFE = str.maketrans("+/", "-_")


class Scrubber:
    """What to look for; call it with a text."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        self._most_values = most_values
        self._forms: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._sharers: dict[str, int] = {}
        """How many values have a form."""
        # How many forms there are by their first characters, then by length: a text is
        # walked once, however many there are, and tokens often begin alike.
        self._lengths: dict[str, dict[int, int]] = {}
        self._longest = SHORTEST
        # Learning is on the way of every rotation; foreign text is rare.
        self._unspelled: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        """Show nothing of the values."""
        return f"Scrubber({len(self._forms) + len(self._unspelled)} values)"

    @property
    def longest(self) -> int:
        """Characters of the longest form there ever was."""
        self._spell()
        return self._longest

    def learn(self, values: Iterable[str]) -> None:
        """Look for these values from now on."""
        for value in values:
            if len(value) >= SHORTEST:
                self._unspelled.pop(value, None)
                self._unspelled[value] = None
        with suppress(KeyError):  # another thread may have spelled them all
            while len(self._unspelled) > self._most_values:
                self._unspelled.popitem(last=False)

    def _spell(self) -> None:
        # Threads log too: nothing here is walked while another may add to it.
        while self._unspelled:
            with suppress(KeyError):  # another thread has taken the last
                self._enter(self._unspelled.popitem(last=False)[0])
        while len(self._forms) > self._most_values:
            self._drop_oldest()

    def _enter(self, value: str) -> None:
        if value in self._forms:
            self._forms.move_to_end(value)
            return
        forms = tuple({form for form in forms_of(value) if len(form) >= SHORTEST})
        self._forms[value] = forms
        for form in forms:
            sharers = self._sharers[form] = self._sharers.get(form, 0) + 1
            if sharers == 1:
                lengths = self._lengths.setdefault(form[:SHORTEST], {})
                lengths[len(form)] = lengths.get(len(form), 0) + 1
            self._longest = max(self._longest, len(form))

    def _drop_oldest(self) -> None:
        _, forms = self._forms.popitem(last=False)
        for form in forms:
            self._sharers[form] -= 1
            if not self._sharers[form]:
                del self._sharers[form]
                self._drop_length(form)

    def _drop_length(self, form: str) -> None:
        lengths = self._lengths[form[:SHORTEST]]
        lengths[len(form)] -= 1
        if not lengths[len(form)]:
            del lengths[len(form)]
        if not lengths:
            del self._lengths[form[:SHORTEST]]

    def __call__(self, text: str) -> str:
        """Return the text with a mark in the place of every known value."""
        self._spell()
        return "".join(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        start = at = 0
        while at <= len(text) - SHORTEST:
            length = self._length_at(text, at)
            if length:
                yield text[start:at]
                yield MARK
                start = at = at + length
            else:
                at += 1
        yield text[start:]

    def _length_at(self, text: str, at: int) -> int:
        lengths = tuple(self._lengths.get(text[at : at + SHORTEST], ()))
        fitting = [n for n in lengths if text[at : at + n] in self._sharers]
        return max(fitting, default=0)


def forms_of(value: str) -> Iterator[str]:
    """Spell a value as it is found in the wild: as it is, quoted, encoded, line by line."""
    yield value
    yield from value.splitlines()
    raw = value.encode(errors="surrogatepass")
    for ensure_ascii in (True, False):
        inside = json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]
        yield inside
        yield json.dumps(inside, ensure_ascii=ensure_ascii)[1:-1]  # JSON within JSON
    yield repr(value)[1:-1]
    yield repr(raw)[2:-1]
    yield escape(value)
    for encode in (quote, quote_plus):
        yield encode(raw)
        yield encode(raw, safe="")
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


class Fingerprints:
    """Values told apart without being shown: twelve hex digits that fit one key only."""

    def __init__(self, key: bytes) -> None:
        """`key` is random and this process's own, so that nobody can try values out."""
        self._key = key

    def of(self, value: str) -> str:
        """Return the value's fingerprint."""
        raw = value.encode(errors="surrogatepass")
        return hmac.new(self._key, raw, hashlib.sha256).hexdigest()[:12]
