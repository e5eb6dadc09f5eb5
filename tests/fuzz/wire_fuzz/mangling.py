"""Changes to JSON by its structure: other types, other keys, other sizes, odd texts."""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from wire_fuzz.json_text import Literal, Pairs

MARKS = (
    "\0", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\ud800",
    "\udfff", "\uffff", "\U0010ffff", "\u0301", " ", "\u00a0", "\r\n", "\n", "\t", '"',
    "'", '"""', "\\", "#", "=", "]", "[", "{", "}", ".", "/", "%00", "%n", "${HOME}", "é",
)  # fmt: skip
SHORT_TEXTS = (
    "", " ", "  ", "null", "true", "0", "-1", "NaN", "ok", "OK ", "pool_", "pool_deleted",
    "../../etc/passwd", "a b", "a.b", "a.b.c", "*", "-", "__proto__", "~", "con", "..",
    "https://u:p@host/x", "git@host:path", "//u:p@", "ssh://git@host", "\\\\host\\share",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-13-45T99:99:99Z",
    "1969-12-31T23:59:59Z", "2026-11-28", "P1D", "eyJhbGciOi.eyJleHAiOjF9.x",
)  # fmt: skip
LENGTHS = (63, 64, 65, 128, 129, 256, 257, 512, 513, 4096, 4097, 65_536, 65_537, 262_145)
LONG = 1_000_000
FILLINGS = ("a", "a://", "[", "é", "\u202e", " ", '"', "\\", "a.", "a@", ":", "\n")
NUMBERS = (
    "0", "-0", "-1", "1", "0.1", "1e-320", "1e308", "1e999", "-1e999", "NaN", "Infinity",
    "-Infinity", "2147483648", "9223372036854775808", "-9223372036854775809", "1" * 400,
    "9" * 5000, "1e5000", "300001", "253402300800000",
)  # fmt: skip


def odd_text(chance: Random) -> str:
    """Return a text that somebody might stumble over."""
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(SHORT_TEXTS)
    if kind < 0.75:
        marks = [chance.choice(MARKS) for _ in range(chance.randint(1, 4))]
        return (
            chance.choice(("", "proj_a", "x")) + "".join(marks) + chance.choice(("", "y"))
        )
    length = chance.choice(LENGTHS) if kind < 0.99 else LONG
    filling = chance.choice(FILLINGS)
    return (filling * (length // len(filling) + 1))[:length]


def odd_value(chance: Random) -> Any:
    """Return any JSON, mostly of the wrong type."""
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: chance.choice((True, False)),
        lambda: Literal(chance.choice(NUMBERS)),
        lambda: odd_text(chance),
        lambda: chance.choice(([], {}, [[]], [None], {"": None}, [{}], "x")),
        lambda: [odd_text(chance) for _ in range(chance.randint(1, 5))],
        lambda: {odd_text(chance): odd_text(chance) for _ in range(chance.randint(1, 5))},
        lambda: _deep(chance),
        lambda: _wide(chance),
    )
    (maker,) = chance.choices(makers, (6, 4, 8, 14, 6, 3, 3, 2, 1))
    return maker()


def _deep(chance: Random) -> Literal:
    depth = chance.choice((17, 33, 65, 500, 900, 1000, 1100, 20_000, 100_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}"), ('[{"":', "}]")))
    is_closed = chance.random() < 0.8
    return Literal(opening * depth + "0" + closing * depth * is_closed)


def _wide(chance: Random) -> Any:
    size = chance.choice((100, 1000, 5001, 20_000))
    item = chance.choice(("0", '""', "{}", "[]", "null"))
    if chance.random() < 0.5:
        return Literal("[" + ",".join([item] * size) + "]")
    return {f"k{number}": "v" for number in range(size)}


def mangled(chance: Random, value: Any) -> Any:
    """Return the JSON with some changes somewhere in it."""
    root = {"": deepcopy(value)}
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if not (places := _places(root)):
            break  # all of it was dropped
        holder, key = chance.choice(places)
        chance.choice(_CHANGES)(chance, holder, key)
    if chance.random() < 0.1:
        _double_keys(chance, root)
    return root.get("")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) there is; of a long list, its beginning."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))[:20]
    for key in keys[:50]:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


def _replace(chance: Random, holder: Any, key: Any) -> None:
    holder[key] = odd_value(chance)


def _edit_text(chance: Random, holder: Any, key: Any) -> None:
    text = holder[key]
    if not isinstance(text, str):
        holder[key] = odd_value(chance)
        return
    at = chance.randint(0, len(text))
    holder[key] = text[:at] + chance.choice(MARKS) + text[at:]


def _drop(_: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = None


def _wrap(chance: Random, holder: Any, key: Any) -> None:
    holder[key] = chance.choice(([holder[key]], {"value": holder[key]}))


def _rename(chance: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict) and key:
        name = chance.choice((key.upper(), key + " ", odd_text(chance)))
        holder[name] = holder.pop(key)


def _add(chance: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[odd_text(chance)] = odd_value(chance)
    else:
        holder.insert(key, odd_value(chance))


def _repeat(chance: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder += [deepcopy(holder[key]) for _ in range(chance.choice((1, 2, 30)))]
    else:
        _replace(chance, holder, key)


_CHANGES = (_replace, _replace, _replace, _edit_text, _edit_text, _drop, _wrap, _rename,
            _add, _repeat)  # fmt: skip


def _double_keys(chance: Random, root: dict[str, Any]) -> None:
    places = [(h, k) for h, k in _places(root) if isinstance(h[k], dict) and h[k]]
    if places:
        holder, key = chance.choice(places)
        items = tuple(holder[key].items())
        name, _ = chance.choice(items)
        holder[key] = Pairs((*items, (name, odd_value(chance))))
