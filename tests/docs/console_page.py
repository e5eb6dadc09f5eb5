"""Runs the commands of a page of terminal text, and writes what they print into it.

A block of a page is a terminal::

    ```console
    $ rensei-platform host list
    ID        NAME
    ```

Lines after `$ ` (and `> `, which go on) are typed into one shell for the whole page, in an
empty directory; the others are what was printed. `python tests/docs/console_page.py`
records docs/a-day.md anew, and takes each picture `![…](img/day-….png)` of the console when
the page comes to it; a test compares a run with the page, but for ids, times and ports.
"""

import fcntl
import os
import pty
import re
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/a-day.md"
COLUMNS = 110
LONGEST_SECONDS = 90.0
"""Of one command."""
_BLOCK = re.compile(
    r"(?<=```console\n)(?:(?!```).*\n)+|^!\[[^\]]*\]\(img/(?P<picture>day-[a-z]+)\.png\)$",
    re.MULTILINE,
)
_ERASED = re.compile(r"^.*\r\x1b\[K", re.MULTILINE)
"""What a command has shown of its progress, and erased."""
_PORTS = ("8790", "8200")
_VARYING = (
    (re.compile(r"\b(host|dmut|rot|key|wkr)_[0-9a-f]+"), r"\1_…"),
    (re.compile(r"\b\d+ (?:s|min|h|d)(?: \d+ (?:min|h))? ago"), "… ago"),
    (re.compile(r"127\.0\.0\.1(:\d+)?"), "127.0.0.1"),
    (re.compile(r"(?:notified \d+, [^\n]*\n)+(?=notified|safe)"), ""),
    (re.compile(r"^(\d+)(?= )", re.MULTILINE), "…"),
    (re.compile(r"\b\d+\.\d+\.\d+\+g[0-9a-f]+(\.dirty)?"), "…"),
    (re.compile(r"\s+"), " "),  # a longer age can move the end of a line
)


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._mark = secrets.token_hex(8)
        self._screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        programs = Path(sys.executable).parent
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=place,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "HOME": str(place),
                "NO_COLOR": "1",
                "TERM": "xterm",
            },
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, command: str) -> str:
        """Run a command, and return what it prints."""
        assert self._bash.stdin is not None
        line = f"{command}\nprintf '%s\\n' {self._mark}\n"
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()
        seen, deadline = "", time.monotonic() + LONGEST_SECONDS
        while f"{self._mark}\n" not in seen:
            left = deadline - time.monotonic()
            ready = select.select([self._screen], [], [], max(left, 0))[0]
            assert ready, f"{command}\n{seen}\nhas not ended in time"
            seen += os.read(self._screen, 65536).decode(errors="replace")
            seen = seen.replace("\r\n", "\n")
        return _ERASED.sub("", seen.partition(self._mark)[0])

    def close(self) -> None:
        """End it, with all that it has started."""
        try:
            self.type("kill $(jobs -p); wait")
        finally:
            os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.communicate()
        os.close(self._screen)


@contextmanager
def shell() -> Iterator[Shell]:
    """Open a shell in an empty directory while the block runs."""
    with tempfile.TemporaryDirectory(prefix="day-") as place:
        opened = Shell(Path(place))
        try:
            yield opened
        finally:
            opened.close()


def commands(block: str) -> list[str]:
    """Return what is typed in a block."""
    typed: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            typed.append(line[2:])
        elif line.startswith("> ") or line == ">":
            typed[-1] += f"\n{line[2:]}"
    return typed


TakePicture = Callable[[str, Path, str], None]
"""Takes (name of a picture, directory of the day, address of the control plane)."""


def record(page: str, take: TakePicture | None = None) -> str:
    """Return the page with what its commands print today; `take` its pictures."""
    ports = {port: _free_port() for port in _PORTS}
    with shell() as opened:

        def run(block: re.Match[str]) -> str:
            if picture := block["picture"]:
                if take is not None:
                    take(picture, opened.place, f"http://127.0.0.1:{ports[_PORTS[0]]}")
                return block[0]
            return "".join(_told(opened, command, ports) for command in commands(block[0]))

        return _BLOCK.sub(run, page)


def _told(opened: Shell, command: str, ports: dict[str, str]) -> str:
    typed = command
    for port, free in ports.items():
        typed = typed.replace(port, free)
    printed = opened.type(typed)
    for port, free in ports.items():
        printed = printed.replace(free, port)
    first, *more = command.split("\n")
    lines = [f"$ {first}", *(f"> {line}".rstrip() for line in more)]
    return "".join(f"{line}\n" for line in lines) + "".join(
        f"{line.rstrip()}\n" for line in printed.splitlines()
    )


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def steady(page: str) -> str:
    """Return the page without what differs between two runs."""
    for pattern, instead in _VARYING:
        page = pattern.sub(instead, page)
    return page


def _record_with_pictures() -> None:
    from day_pictures import Camera, running_browser

    cameras: list[Camera] = []
    with running_browser() as browser:

        def take(name: str, place: Path, url: str) -> None:
            if not cameras:
                cameras.append(Camera(browser, place, url))
            cameras[0].take(name)

        PAGE.write_text(record(PAGE.read_text(), take))


if __name__ == "__main__":
    _record_with_pictures()
