"""Events of the rotate-stream, rightly and wrongly spelled."""

from random import Random
from typing import Any

from wire_fuzz.json_text import encode
from wire_fuzz.mangling import mangled, odd_text

NAMES = ("UPDATE", "update", "message", "", "PING", "rotate", "UPDATE ", "U" * 70_000)
ODD_LINES = (
    ":", ": keepalive", "data", "data:", "event", "event:", "id: 1", "id: \0", "id",
    "retry: 1", "retry: 99999999999999999999", "retry: -1", "retry: x", "no", "\ufeff",
    "data: {", "data: null", "data: []", "data: 0", "DATA: {}", " data: {}", "data:{}\0",
    "data: \ud800", "event: \0",
)  # fmt: skip
ENDS = ("\n", "\n", "\n", "\r\n", "\r")


def event(chance: Random, update: dict[str, Any]) -> tuple[bytes, bool]:
    """Return an event of this update, and whether it is as it should be."""
    kind = chance.random()
    if kind < 0.3:
        return b"event: UPDATE\ndata: " + encode(update) + b"\n\n", True
    if kind < 0.4:
        return chance.choice((b": keepalive\n\n", b":\n", b"\n", b": x\r\n\r\n")), True
    if kind < 0.55:
        return _lines(chance), False
    if kind < 0.57:
        return _flood(chance), False
    payload = {key: update[key] for key in ("type", "delta", "rotatedAt")}
    if chance.random() < 0.2:
        payload["env"] = payload.pop("delta")
    if chance.random() < 0.8:
        payload = mangled(chance, payload)
    return _spelled(chance, encode(payload, is_ascii=chance.random() < 0.7)), False


def _spelled(chance: Random, data: bytes) -> bytes:
    end = chance.choice(ENDS).encode()
    if chance.random() < 0.1:
        data = data[: chance.randint(0, len(data))]
    if chance.random() < 0.2:
        # In several lines, which is right where JSON has blanks and wrong elsewhere.
        data = data.replace(b",", b"," + end + b"data:", chance.randint(0, 5000))
    name = chance.choice(NAMES) if chance.random() < 0.3 else "UPDATE"
    return b"event: " + name.encode() + end + b"data: " + data + end + end


def _lines(chance: Random) -> bytes:
    lines = [chance.choice(ODD_LINES) for _ in range(chance.randint(1, 6))]
    if chance.random() < 0.3:
        lines.append("data: " + odd_text(chance))
    text = chance.choice(ENDS).join(lines) + chance.choice(ENDS) * 2
    return text.encode("utf-8", "surrogatepass")


def _flood(chance: Random) -> bytes:
    return chance.choice(
        (b"\n" * 100_000, b":\n" * 50_000, b"data\n" * 90_000, b"data: " + b"y" * 1_100_000,
         b"data: {}\n\n" * 5000, b"\r" * 100_000, b"event: UPDATE\ndata: {\n\n" * 2000)
    )  # fmt: skip
