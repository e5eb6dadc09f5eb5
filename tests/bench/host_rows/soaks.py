"""Numbers that a soak proves: it is run, shorter than `make soak` runs it, and read."""

import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio.to_thread

from host_rows.frame import Measured, NotMeasuredError, Row, Run, Target

SOAK = Path(__file__).parents[2] / "soak"

Found = Mapping[str, re.Pattern[str]]


async def soak(
    run: Run, *, words: tuple[str, ...], found: Found, scales: Mapping[str, float]
) -> Mapping[str, Measured]:
    """Run a soak, and read its numbers; what it cannot do here it says as "skipped"."""
    command = [sys.executable, str(SOAK / words[0]), *words[1:]]
    done = await anyio.to_thread.run_sync(
        partial(subprocess.run, command, capture_output=True, text=True, check=False)
    )
    if done.stdout.startswith("skipped"):
        raise NotMeasuredError(done.stdout.strip())
    measured = {"broken promises": Measured(float(done.returncode != 0))}
    for name, pattern in found.items():
        match = pattern.search(done.stdout)
        value = float(match[1]) * scales.get(name, 1) if match else float("inf")
        measured[name] = Measured(value)
    if done.returncode:
        print(done.stdout, done.stderr[-3000:], file=sys.stderr)
    return measured


def _row(
    name: str,
    title: str,
    note: str,
    words: tuple[str, ...],
    numbers: Mapping[str, tuple[str, Target, float]],
) -> Row:
    """Return the row of a soak; each number has a pattern of its output, and a scale."""
    found = {number: re.compile(pattern) for number, (pattern, _, _) in numbers.items()}
    scales = {number: scale for number, (_, _, scale) in numbers.items()}
    targets = {number: target for number, (_, target, _) in numbers.items()}
    return Row(
        name=name,
        title=title,
        note=f"{note} It is `tests/soak/{' '.join(words)}`.",
        targets={"broken promises": Target(below=1), **targets},
        measure=partial(soak, words=words, found=found, scales=scales),
        is_long=True,
    )


STREAM_ROWS = (
    _row(
        "capped",
        "Rotations at random moments while a gateway ends every stream after 20 s",
        "three minutes in real time.",
        ("flapping.py", "20", "3"),
        {
            "p99": (r"p99 ([\d.]{1,9}) ms", Target(unit="s", below=1), 0.001),
            "worst": (r"worst ([\d.]{1,9}) s", Target(unit="s"), 1),
        },
    ),
    _row(
        "half-open",
        "A half-open stream is noticed",
        "the link between two network namespaces goes down without a word; in real time, "
        "as root.",
        ("half_open.py", "10"),
        {
            "stream interrupted": (
                r"stream noticed after ([\d.]{1,9}) s",
                Target(unit="s", below=45),
                1,
            ),
        },
    ),
)
LIFE_ROWS = (
    _row(
        "day",
        "A day's beats, reconnects and rotations",
        "2,880 heartbeats and 8,640 reconnects of streams over TLS in some minutes; growth "
        "is the slope of the second half of it.",
        ("a_day.py",),
        {
            "growth in an hour": (
                r"in an hour: anonymous (-?[\d.]{1,9})",
                Target(unit="KiB", below=10),
                1,
            ),
            "descriptors in an hour": (r"files (-?[\d.]{1,9})$", Target(below=0.2), 1),
        },
    ),
    _row(
        "kills",
        "kill -9 at random moments",
        "60 kills; `make soak` does hundreds, and one at every durable system call.",
        ("random_kills.py", "--kills", "60"),
        {},
    ),
    _row(
        "power",
        "A power cut after every call that changes a file",
        "with the right to trace; it may take half an hour.",
        ("power_cut.py",),
        {"different disks": (r"(\d{1,9}) different disks", Target(), 1)},
    ),
)
