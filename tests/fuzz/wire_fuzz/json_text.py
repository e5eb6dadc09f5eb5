"""JSON as bytes, with what no encoder writes: literal text, keys that come twice."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands in the JSON as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object whose keys may come twice."""

    items: tuple[tuple[str, Any], ...]


def encode(value: Any, *, is_ascii: bool = True) -> bytes:
    """Return the value as JSON; unless `is_ascii`, lone surrogates become broken UTF-8."""
    text = "".join(_pieces(value, is_ascii))
    return text.encode("utf-8", "surrogatepass")


def _pieces(value: Any, is_ascii: bool) -> Iterator[str]:
    match value:
        case Literal():
            yield value.text
        case dict():
            yield from _object(tuple(value.items()), is_ascii)
        case Pairs():
            yield from _object(value.items, is_ascii)
        case list():
            before = "["
            for item in value:
                yield before
                yield from _pieces(item, is_ascii)
                before = ","
            yield "]" if value else "[]"
        case _:
            yield json.dumps(value, ensure_ascii=is_ascii)


def _object(items: tuple[tuple[str, Any], ...], is_ascii: bool) -> Iterator[str]:
    before = "{"
    for key, item in items:
        yield before + json.dumps(key, ensure_ascii=is_ascii) + ":"
        yield from _pieces(item, is_ascii)
        before = ","
    yield "}" if items else "{}"
