"""The pytest plugin that runs the tests in several processes, forks of one that collects.

    pytest --processes 4: collect --> fork --> each takes a file, and then another one
                             ^------ reports ------|

A process that starts from nothing imports 800 files and collects everything once more,
which takes seconds of a core; a fork has it all. What waits longest comes first, so that no
process is alone with it at the end. All files that need the booted host go together: it is
booted once.
"""

import atexit
import os
import struct
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, NoReturn, cast

import leftovers
import pytest

TESTS = Path(__file__).parents[1]
BOOTED = "e2e/systemd"
LONGEST = (BOOTED, "e2e", "tasks", "control_plane/console", "cli", "control_plane")
"""Where tests wait for processes, the longest first; the others are short."""
_NUMBER = struct.Struct("I")
_MOST_FILES = 65_536 // _NUMBER.size
"""Whose numbers a pipe holds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the option known."""
    parser.addoption("--processes", type=int, default=0, help="run tests in so many forks")


def _rank(path: Path) -> int:
    place = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    ranks = (n for n, first in enumerate(LONGEST) if place.startswith(f"{first}/"))
    return next(ranks, len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits longest first; within a file the order stays."""
    items.sort(key=lambda item: _rank(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forks, if it is asked for and everything was collected."""
    options = session.config.option
    if not options.processes or options.collectonly or session.testsfailed:
        return None
    # Each fork has a directory of its own in this one.
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    files = [list(of_file) for _, of_file in groupby(session.items, _file)]
    assert len(files) <= _MOST_FILES
    queue, filled = os.pipe()
    os.write(filled, b"".join(_NUMBER.pack(number) for number in range(len(files))))
    os.close(filled)
    _Parent(session, files, queue).run(options.processes)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    return True


def _file(item: pytest.Item) -> Path:
    return TESTS / BOOTED if _rank(item.path) == 0 else item.path


# ---- the process that has collected ------------------------------------------------------


@dataclass
class _Fork:
    """A process that runs tests, as its parent knows it."""

    pid: int
    pending: list[pytest.Item] = field(default_factory=list)
    """What it has yet to run, or is running, of the files it has taken."""
    is_done: bool = False


class _Parent:
    """Starts the forks, and tells pytest what they tell."""

    def __init__(
        self, session: pytest.Session, files: list[list[pytest.Item]], queue: int
    ) -> None:
        self._session, self._files, self._queue = session, files, queue
        self._forks: dict[Connection, _Fork] = {}
        self._count = 0

    def run(self, count: int) -> None:
        """Run everything; end the forks whatever happens."""
        try:
            for _ in range(count):
                self._start([])
            while self._forks:
                for ready in wait(list(self._forks)):
                    self._hear(cast(Connection, ready))
        finally:
            for ours, fork in self._forks.items():
                ours.close()  # which ends it at its next report; a Ctrl-C is for it too
                os.waitpid(fork.pid, 0)

    def _start(self, first: list[pytest.Item]) -> None:
        ours, theirs = Pipe(duplex=False)
        self._count += 1
        pid = os.fork()
        if pid == 0:
            for reader in (ours, *self._forks):
                reader.close()  # or nobody would notice that the parent has
            _Child(self._session, theirs, self._count).run(
                lambda told: chain(first, _taken(self._files, self._queue, told))
            )
        theirs.close()
        self._forks[ours] = _Fork(pid, list(first))

    def _hear(self, ours: Connection) -> None:
        fork = self._forks[ours]
        try:
            what, value = ours.recv()
        except EOFError:
            del self._forks[ours]
            _, status = os.waitpid(fork.pid, 0)
            if not fork.is_done:
                self._go_on_after(fork, os.waitstatus_to_exitcode(status))
            return
        self._tell(fork, what, value)
        if self._session.shouldfail or self._session.shouldstop:
            os.read(self._queue, _MOST_FILES * _NUMBER.size)

    def _tell(self, fork: _Fork, what: str, value: Any) -> None:
        hook = self._session.config.hook
        match what:
            case "took":
                fork.pending += self._files[value]
            case "done":
                fork.is_done = True
            case "report":
                report = hook.pytest_report_from_serializable(
                    config=self._session.config, data=value
                )
                hook.pytest_runtest_logreport(report=report)
            case "pytest_runtest_logfinish":
                fork.pending.pop(0)
                hook.pytest_runtest_logfinish(**value)
            case _:
                getattr(hook, what)(**value)

    def _go_on_after(self, fork: _Fork, exit_code: int) -> None:
        """Fail the test under way, and run the others of its file in another fork."""
        if not fork.pending:
            self._session.shouldfail = f"a process of the tests has ended with {exit_code}"
            return
        item, *rest = fork.pending
        longrepr = f"its process has ended with {exit_code}"
        report = pytest.TestReport(
            item.nodeid, item.location, {}, "failed", longrepr, "call"
        )
        self._session.config.hook.pytest_runtest_logreport(report=report)
        self._start(rest)


def _taken(
    files: list[list[pytest.Item]], queue: int, told: Callable[[str, int], None]
) -> Iterator[pytest.Item]:
    """Take the next file of those that are left, and yield its tests."""
    while taken := os.read(queue, _NUMBER.size):
        (number,) = _NUMBER.unpack(taken)
        told("took", number)
        yield from files[number]


# ---- a fork ------------------------------------------------------------------------------

_Tell = Callable[[str, Any], None]


class _Child:
    """The pytest plugin of a fork, which hands on what happens."""

    def __init__(self, session: pytest.Session, theirs: Connection, number: int) -> None:
        self._session, self._theirs, self._number = session, theirs, number

    def run(self, tests: Callable[[_Tell], Iterator[pytest.Item]]) -> NoReturn:
        """Run tests until there are no more, and end the process."""
        code = 1
        try:
            self._become_a_process()
            self._run_each(tests(self._tell))
            self._session.config._ensure_unconfigure()
            self._tell("done", None)
            code = 0
        except BrokenPipeError:
            pass  # the parent was interrupted, and has said so
        except BaseException:  # noqa: BLE001 - as the interpreter does
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
            os._exit(code)

    def _run_each(self, tests: Iterator[pytest.Item]) -> None:
        session = self._session
        try:
            for item, following in pairwise(chain(tests, [None])):
                assert item is not None
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail or session.shouldstop:
                    break
        finally:
            session._setupstate.teardown_exact(None)

    def _become_a_process(self) -> None:
        """Have what processes do not share: an output, a directory, children."""
        config = self._session.config
        atexit._clear()
        leftovers.pytest_configure()
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        capture.suspend_global_capture()
        terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
        terminal._tw._file = open(os.devnull, "w")  # noqa: SIM115, PTH123 - to its end
        temporary: Any = config._tmp_path_factory  # type: ignore[attr-defined]
        temporary._basetemp = temporary.getbasetemp() / f"process-{self._number}"
        temporary._basetemp.mkdir(mode=0o700)
        config.pluginmanager.register(self)

    def _tell(self, what: str, value: Any) -> None:
        self._theirs.send((what, value))

    def pytest_runtest_logstart(
        self, nodeid: str, location: tuple[str, int | None, str]
    ) -> None:
        """Say that a test begins."""
        self._tell("pytest_runtest_logstart", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say how it went."""
        config = self._session.config
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
        self._tell("report", data)

    def pytest_runtest_logfinish(
        self, nodeid: str, location: tuple[str, int | None, str]
    ) -> None:
        """Say that it has ended."""
        self._tell("pytest_runtest_logfinish", {"nodeid": nodeid, "location": location})
