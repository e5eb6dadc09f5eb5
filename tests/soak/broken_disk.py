"""A disk that is full, read-only, fails or forbids the file, under the state or the config.

Each time: a mutation comes, nothing is acked, the file keeps its text, `status` shows the
condition `storage` with its cause, a credential still rotates into its env file; the
disk is fixed, and without anything else being done the mutation is applied and the
condition goes. The same for a state that is broken when the daemon starts. It mounts
small file systems in a mount namespace of its own, for which it must be root; strace makes
the daemon's calls fail as on a disk that reports I/O errors. Run it alone:
`.venv-dev/bin/python tests/soak/broken_disk.py`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from kill_at_every_call import why_not as untraceable
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.model import Model
from rig.verdict import BrokenPromiseError, check, check_no_leftovers

NAMESPACE = "RENSEI_SOAK_NAMESPACE"
BODY = """\
[credentials]
project_id = "proj_1"
env_name = "production"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
[projects]
# kept
proj_a = { repositories = [] }
"""
OUTAGE_SECONDS = 3.0
RECOVERS_WITHIN = 30.0


@dataclass(frozen=True)
class Fault:
    """Something wrong with the disk."""

    name: str
    place: str
    """`state` or `etc`, below the host's directory: where a file system is mounted."""
    cause: str
    """What the system's own text says of it."""
    break_it: Callable[[Path], None]
    mend_it: Callable[[Path], None]
    is_replaced: bool = False
    """Whether the file has the new text already, though not for good."""


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as filler:
        size = 65536
        while size:
            try:
                filler.write(b"x" * size)
            except OSError:
                size //= 2


def _empty(place: Path) -> None:
    (place / "filler").unlink()


def _freeze(place: Path) -> None:
    _run("mount", "-o", "remount,ro", str(place))


def _thaw(place: Path) -> None:
    _run("mount", "-o", "remount,rw", str(place))


def _forbid(place: Path) -> None:
    _run("chattr", "+i", str(place / "config.toml"))


def _allow(place: Path) -> None:
    _run("chattr", "-i", str(place / "config.toml"))


def _io_errors(
    name: str, place: str, calls: str, *files: str, is_replaced: bool = False
) -> Fault:
    """Make a fault of these calls, on some files of the place or on all."""
    cause = "disk I/O error" if place == "state" else "Input/output error"
    tracers: list[subprocess.Popen[bytes]] = []

    def break_it(where: Path) -> None:
        words = ["strace", "-f", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
        for file in files:
            words += ["-P", str(where / file)]
        words += [
            "-o",
            "/dev/null",
            "-p",
            (where.parent / "state/lock").read_text().strip(),
        ]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
        assert tracer.stderr is not None
        while b"attached" not in tracer.stderr.readline():
            pass
        tracers.append(tracer)

    def mend_it(_: Path) -> None:
        with tracers.pop() as tracer:
            tracer.terminate()

    return Fault(name, place, cause, break_it, mend_it, is_replaced)


FULL, READ_ONLY = "space left on device", "only file system"
FAULTS = (
    Fault("config on a full disk", "etc", FULL, _fill, _empty),
    Fault("state on a full disk", "state", "full", _fill, _empty),
    Fault("config mounted read-only", "etc", READ_ONLY, _freeze, _thaw),
    # The kernel lets no file system become read-only that holds an open journal.
    Fault("config immutable", "", "permitted", _forbid, _allow),
)
_JOURNAL = ("journal.db", "journal.db-wal")
IO_ERRORS = (
    _io_errors("config whose disk takes no new name", "etc", "renameat2"),
    _io_errors("config whose disk flushes no names", "etc", "fsync", ".", is_replaced=True),
    _io_errors("state that cannot be flushed", "state", "fdatasync", *_JOURNAL),
    _io_errors("state that cannot be written", "state", "pwrite64", *_JOURNAL),
)


AT_START = (
    Fault("state full at the start", "state", "full", _fill, _empty),
    Fault("state read-only at the start", "state", READ_ONLY, _freeze, _thaw),
)


async def suffer(host: Host, fault: Fault, place: Path) -> str:
    """Break the disk under a daemon that runs, and fix it; return how it went."""
    platform = host.platform
    platform.set_credential("anthropic", "API_KEY", "first")
    await host.start()
    await host.until(lambda status: bool(status["state"] == "ok"))
    before = host.config.read_bytes()

    fault.break_it(place)
    model = Model()
    model.tree["projects"]["proj_a"] = {"repositories": []}
    mutation = host.enqueue("project.remove", id="proj_a")
    model.apply(mutation)
    shown = await host.until(lambda status: bool(_storage(status)))
    said = _storage(shown)[0]
    if fault.cause not in said:
        raise BrokenPromiseError(f"the cause is not told: {said}")
    await anyio.sleep(OUTAGE_SECONDS)  # so that retries grow rare
    platform.rotate("anthropic", API_KEY="second")
    await host.until_file(host.runtime / "build.env", "second", within=2)
    is_replaced = host.config.read_bytes() != before
    if platform.log.acks or is_replaced != fault.is_replaced:
        raise BrokenPromiseError(f"acked {platform.log.acks}, or the file was touched")

    fault.mend_it(place)
    fixed = time.monotonic()
    await host.settled([mutation], within=RECOVERS_WITHIN)
    await host.until(lambda status: not _storage(status), within=RECOVERS_WITHIN)
    check(host, model)
    check_no_leftovers(host)
    return f"{time.monotonic() - fixed:.1f} s after it was fixed ({said})"


def _storage(status: dict[str, list[dict[str, str]]]) -> list[str]:
    return [c["message"] for c in status["conditions"] if c["code"] == "storage"]


async def start_broken(host: Host, fault: Fault, place: Path) -> str:
    """Start a daemon on a broken disk, and fix it; return how it went."""
    platform = host.platform
    platform.set_credential("anthropic", "API_KEY", "first")
    fault.break_it(place)
    before = host.config.read_bytes()
    model = Model()
    model.tree["projects"]["proj_a"] = {"repositories": []}
    mutation = host.enqueue("project.remove", id="proj_a")
    model.apply(mutation)
    await host.start()
    await host.until_file(host.runtime / "build.env", "first", within=5)
    shown = await host.until(lambda status: bool(_storage(status)))
    said = next(text for text in _storage(shown) if "mutations wait" in text)
    await host.until(lambda status: bool(status["heartbeat"]["last_ok_at"]))
    platform.rotate("anthropic", API_KEY="second")
    await host.until_file(host.runtime / "build.env", "second", within=2)
    if platform.log.acks or host.config.read_bytes() != before:
        raise BrokenPromiseError(f"acked {platform.log.acks}, or the file was touched")

    fault.mend_it(place)
    fixed = time.monotonic()
    await host.settled([mutation], within=RECOVERS_WITHIN)
    await host.until(lambda status: not _storage(status), within=RECOVERS_WITHIN)
    check(host, model)
    return f"{time.monotonic() - fixed:.1f} s after it was fixed ({said})"


@asynccontextmanager
async def _mounted(fault: Fault, directory: Path) -> AsyncIterator[Path]:
    """Give the fault's place a file system of its own."""
    place = directory / (fault.place or "etc")
    place.mkdir()
    if not fault.place:
        yield place
        return
    _run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place))
    try:
        yield place
    finally:
        _run("umount", "--lazy", str(place))


async def main() -> None:
    """Try every fault; print one line each."""
    if (reason := untraceable()) is not None:
        print(f"I/O errors: skipped: {reason}")
    for fault in (*FAULTS, *AT_START, *(() if reason else IO_ERRORS)):
        endure = start_broken if fault in AT_START else suffer
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            if not fault.place and (reason := why_not_immutable(directory)):
                print(f"{fault.name}: skipped: {reason}")
                continue
            async with (
                _mounted(fault, directory) as place,
                open_host(directory, body=BODY) as host,
            ):
                went = await endure(host, fault, place)
            print(f"{fault.name}: recovered {went}", flush=True)


def why_not_immutable(directory: Path) -> str | None:
    """Return why no file can be made immutable here, or None."""
    probe = directory / "probe"
    probe.touch()
    try:
        _run("chattr", "+i", str(probe))
        _run("chattr", "-i", str(probe))
    except (OSError, subprocess.CalledProcessError) as error:
        return f"chattr +i does not work here ({error})"
    return None


def why_not() -> str | None:
    """Return why nothing can be mounted here, or None."""
    if os.geteuid() != 0:
        return "only root may mount"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "no mount namespace can be had here"


if __name__ == "__main__":
    with leaving_nothing():
        if NAMESPACE in os.environ:
            anyio.run(main)
        elif (refusal := why_not()) is not None:
            print(f"skipped: {refusal}")
        else:
            again = ["unshare", "--mount", sys.executable, *sys.argv]
            os.execvpe("unshare", again, {**os.environ, NAMESPACE: "1"})  # noqa: S606
