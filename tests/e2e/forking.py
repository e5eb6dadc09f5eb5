"""Runs many commands of ours, each in a fork of one process that has imported them all.

A test that tries every command against every sort of daemon would else spend its time on
importing. It also lets a command be tried as a user who may not even read the interpreter.
Reads a JSON list of `Job` on standard input, writes a list of `Done` to standard output.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
from typing import IO, TypedDict

import rensei_daemon
from rensei_daemon.cli.main import main

AT_ONCE = 16
MOST_SECONDS = 45


class Job(TypedDict):
    """A command line, and who runs it where."""

    argv: list[str]
    env: dict[str, str]
    uid: int


class Done(TypedDict):
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float


def import_everything() -> None:
    """Import all there is, also what is only imported when it is needed."""
    for module in pkgutil.walk_packages(rensei_daemon.__path__, "rensei_daemon."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in (
        "anyio._backends._asyncio",
        "difflib",
        "encodings.idna",
        "encodings.utf_8_sig",
        "getpass",
        "httpcore",
        "importlib.readers",
        "tomlkit",
    ):
        importlib.import_module(name)


class _Running:
    """A fork at work on a job."""

    def __init__(self, job: Job) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this call
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        self._started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _become(job, self._out, self._err)

    def done(self, status: int) -> Done:
        seconds = time.monotonic() - self._started
        said = []
        for file in (self._out, self._err):
            file.seek(0)
            said.append(file.read().decode())
            file.close()
        code = os.waitstatus_to_exitcode(status)
        return Done(code=code, out=said[0], err=said[1], seconds=seconds)


def _become(job: Job, out: IO[bytes], err: IO[bytes]) -> None:
    signal.alarm(MOST_SECONDS)
    code: object = 99
    try:
        with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor is wanted
            os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.environ.clear()
        os.environ.update(job["env"])
        if job["uid"] != os.getuid():
            os.setgroups([])
            os.setgid(job["uid"])
            os.setuid(job["uid"])
        sys.argv = ["rensei-daemon", *job["argv"]]
        main(job["argv"])
    except SystemExit as left:
        code = left.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def run(jobs: list[Job]) -> list[Done]:
    """Run every job, a few at once."""
    results: dict[int, Done] = {}
    running: dict[int, tuple[int, _Running]] = {}
    waiting = list(enumerate(jobs))
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, job = waiting.pop(0)
            fork = _Running(job)
            running[fork.pid] = number, fork
        pid, status = os.wait()
        number, fork = running.pop(pid)
        results[number] = fork.done(status)
    return [results[number] for number in range(len(jobs))]


if __name__ == "__main__":
    gc.disable()
    import_everything()
    gc.freeze()  # or each fork goes through all of it
    gc.enable()
    json.dump(run(json.load(sys.stdin)), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # sooner than by taking apart all that it has imported
