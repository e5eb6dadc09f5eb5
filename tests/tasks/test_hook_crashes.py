"""The daemon dies at every durable call around a hook, and no run of it is lost.

A worker reads the env file when it starts, at any moment, and hears of another value from
the hook alone. So after whatever crash the last thing that happened must be a whole run of
the hook, and not a change of the file.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from boards import empty_board
from deadlines import HANG_SECONDS

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.delivery.file_delivery import FileDelivery
from rensei_daemon.delivery.hook import Hook, HookResources
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.delivery.run_program import ProgramResult
from rensei_daemon.tasks.session_deliveries import SessionDeliveries

pytestmark = pytest.mark.slow

DURABLE: Mapping[str, Callable[..., Any]] = {
    "fsync": lambda _: None,  # its time would be all that this test takes
    "replace": os.replace,
    "unlink": os.unlink,
}
VALUES = ("A", "B", "A")


class DiedError(BaseException):
    """The process is gone; nothing may catch this."""


class Host:
    """The files of a host, what happened to them, and when its daemon dies."""

    def __init__(self, directory: Path, dies_at: int | None) -> None:
        self.file = directory / "build.env"
        self.done = directory / ".build.hook-done"
        self.happened: list[str] = []
        """Each value the file came to have, and `told` for each whole run of the hook.

        A run during which the file changed is `overtaken`: it may have read the old value.
        """
        self.steps = 0
        self._dies_at = dies_at

    def burn(self) -> None:
        """Take a step, which may be the last one."""
        value = self.file.read_text()[7:8] if self.file.exists() else ""
        if value and self.values[-1:] != [value]:
            self.happened.append(value)
        self.steps += 1
        if self._dies_at is not None and self.steps > self._dies_at:
            raise DiedError

    @property
    def values(self) -> list[str]:
        """What the file has held, one after the other."""
        return [what for what in self.happened if what in VALUES]

    def live_on(self) -> None:
        """Be a host whose daemon does not die any more."""
        self._dies_at = None


class ToldHook(Hook):
    """A hook whose program is a line of its own."""

    host: Host
    gate: anyio.Event
    is_asked = False

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:
        self.is_asked = True
        return await super().deliver(credentials, difference)

    async def _run(self, environment: Mapping[str, str]) -> ProgramResult:
        self.host.burn()
        before = self.host.happened.copy()
        await self.gate.wait()
        self.host.burn()
        self.host.happened.append("told" if self.host.happened == before else "overtaken")
        return ProgramResult(0, b"", omitted_bytes=0)


@contextmanager
def mortal(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every durable call burn the fuse, before and after."""
    with monkeypatch.context() as patched:
        for name, call in DURABLE.items():
            patched.setattr(os, name, _burning(host, call))
        yield


def _burning(host: Host, call: Callable[..., Any]) -> Callable[..., Any]:
    def burning(*arguments: Any, **named: Any) -> Any:
        host.burn()
        result = call(*arguments, **named)
        host.burn()
        return result

    return burning


async def daemon(host: Host, values: tuple[str, ...], *, is_slow: bool) -> None:
    """Deliver values one after the other until all is done; raises `DiedError`.

    With a slow hook the first run of it ends after all values are in the file.
    """
    record = HookRecord(host.done)
    file = FileDelivery(host.file, mode=0o440, gid=None, hook_record=record)
    resources = HookResources(environ={}, scrub=Scrubber())
    hook = ToldHook(
        ["hook"],
        session_id="build",
        env_file=None,
        after=file,
        record=record,
        resources=resources,
    )
    hook.host, hook.gate = host, anyio.Event()
    if not is_slow:
        hook.gate.set()
    session_deliveries = SessionDeliveries(
        [file, hook], "build", empty_board(), min, resources.turns
    )
    uptake = Uptake()

    async def until(delivery: FileDelivery | Hook, generation: int) -> None:
        while delivery.consumers[0].generation != generation:
            await uptake.next()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(resources.turns.run)
        tasks.start_soon(session_deliveries.run, uptake.happen)
        credentials = Credentials()
        for value in values:
            credentials = credentials.replaced({"TOKEN": value})
            session_deliveries.offer(credentials)
            await until(file, credentials.generation)
            for _ in range(10):  # by then a hook that is due has been asked
                await anyio.lowlevel.checkpoint()
            if hook.is_asked and not is_slow:
                await until(hook, credentials.generation)
        hook.gate.set()
        if hook.is_asked:
            await until(hook, credentials.generation)
        tasks.cancel_scope.cancel()


class Uptake:
    """Something that happens again and again."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def happen(self) -> None:
        """Wake every waiter."""
        self._event.set()
        self._event = anyio.Event()

    async def next(self) -> None:
        """Wait for the next time."""
        await self._event.wait()


async def _lives(host: Host, values: tuple[str, ...], *, is_slow: bool) -> bool:
    """Run a daemon, and return whether it lived to the end."""
    lived = True
    try:
        await daemon(host, values, is_slow=is_slow)
    except* DiedError:
        lived = False
    return lived


@pytest.mark.parametrize("is_slow", [False, True])
async def test_no_run_of_a_hook_is_lost(
    monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """After a crash at any durable call, the next daemon runs what is due."""
    for dies_at in range(200):
        with tempfile.TemporaryDirectory() as directory:
            host = Host(Path(directory), dies_at)
            with mortal(host, monkeypatch), anyio.fail_after(HANG_SECONDS):
                lived = await _lives(host, VALUES, is_slow=is_slow)
                host.live_on()
                if lived:
                    break
                await _lives(host, VALUES[-1:], is_slow=False)
                runs = host.happened.count("told")
                await _lives(host, VALUES[-1:], is_slow=False)
            story = (dies_at, host.happened)
            assert host.happened[-1] == "told", story
            assert host.values[-1] == "A", story
            assert host.happened.count("told") == runs, "a third start runs it for nothing"
    assert 10 < dies_at < 199
