"""The commands that ask the platform themselves: how they end, and what they print."""

import subprocess
import unicodedata
from collections.abc import Iterator
from itertools import cycle

from wire_fuzz.target import KEY, TROUBLES, BrokenPromiseError, Target
from wire_fuzz.valid_answers import CANARY

COMMANDS = (
    ("mutations", "list", "--remote", "--host", "h1"),
    ("mutations", "list", "--remote", "--host", "h1", "--json"),
    ("mutations", "enqueue", "project.enable", "id=proj_a", "--host", "h1"),
    ("mutations", "enqueue", "pool.deleted", "poolId=p", "--host", "h1", "--json"),
    ("mutations", "cancel", "dmut_1"),
    ("mutations", "cancel", "dmut_1", "--json"),
    ("credentials", "rotate", "anthropic", "--org", "org_fuzz"),
    ("credentials", "rotate", "anthropic", "--org", "org_fuzz", "--json"),
)
EXIT_CODES = (0, 1, 69, 77)
"""It went well, or the platform did not do it; none says that the person was wrong."""
COLUMNS = 5
"""Of a list in a pipe."""
SECONDS = 60.0
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def each_command(target: Target) -> Iterator[None]:
    """Run one command after the other for ever; raises `BrokenPromiseError`."""
    for words in cycle(COMMANDS):
        command = [*target.program, *words, "--config", str(target.config)]
        try:
            done = subprocess.run(
                command, env=target.environ, capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise BrokenPromiseError(f"{words} goes on after {SECONDS:.0f} s") from None
        printed = (done.stdout + done.stderr).decode(errors="surrogateescape")
        if complaint := _complaint(done.returncode, printed):
            raise BrokenPromiseError(f"{words} {complaint}: {printed[:3000]!a}")
        yield


def _complaint(code: int, printed: str) -> str:
    if code not in EXIT_CODES:
        return f"ended with exit code {code}"
    for text in (*TROUBLES, KEY, CANARY):
        if text in printed:
            return f"printed {text!r}"
    if not {line.count("\t") for line in printed.splitlines()} <= {0, COLUMNS - 1}:
        return "printed a column too many"
    marks = set(printed) - {"\n", "\t"}
    raw = [mark for mark in marks if unicodedata.category(mark) in INVISIBLE]
    return f"printed {sorted(raw)[:9]!a} as they are" if raw else ""
