"""A person who edits the file, in each of the ways that editors save.

Every edit adds one comment that can be told from all others, and never removes any; so
each of them must be there for ever after.
"""

import os
import secrets
import time
from pathlib import Path


def note(number: int) -> str:
    """Return the lines of one edit; the blank lines keep it from any entry."""
    return f"\n# note {number} by hand\n\n"


def append(path: Path, number: int) -> None:
    """Save in place without having read anything, as `>>` does: it overwrites nobody."""
    with path.open("ab", buffering=0) as file:
        file.write(note(number).encode())


def append_slowly(path: Path, number: int) -> None:
    """Likewise in two pieces, the first of them no valid TOML."""
    with path.open("ab", buffering=0) as file:
        file.write(b"\nx")
        time.sleep(0.005)
        file.seek(0, os.SEEK_END)
        file.truncate(file.tell() - 2)
        file.write(note(number).encode())


def rewrite(path: Path, number: int) -> None:
    """Save in place: read, truncate, write in two pieces with a breath between them."""
    text = path.read_bytes() + note(number).encode()
    half = len(text) // 2
    with path.open("wb", buffering=0) as file:
        file.write(text[:half])
        time.sleep(0.002)
        file.write(text[half:])


def rename(path: Path, number: int) -> None:
    """Save beside the file and rename over it."""
    text = path.read_bytes() + note(number).encode()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(3)}.swp")
    beside.write_bytes(text)
    beside.replace(path)


def missing(path: Path, numbers: range) -> list[int]:
    """Return which of the edits the file does not hold exactly once."""
    lines = path.read_text().splitlines()
    return [n for n in numbers if lines.count(f"# note {n} by hand") != 1]
