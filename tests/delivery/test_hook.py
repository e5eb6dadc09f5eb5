"""The hook, with real programs that behave and programs that do not."""

import gc
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import structlog
from deadlines import HANG_SECONDS
from polling import until
from structlog.testing import capture_logs

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.delivery.hook import Hook, HookResources, join_within
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.errors import DeliveryError

ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "LANG": "C",
    "RENSEI_API_KEY": "rsk_live_canary",
    "SECRET": "canary",
}
ROTATED = Credentials(7, {"TOKEN": "tok_canary_7", "URL": "u"})
CHANGE = Difference({"TOKEN": "tok_canary_7"}, ("GONE",))

MakeHook = Callable[..., Hook]


@pytest.fixture
def make_hook(tmp_path: Path) -> MakeHook:
    """A way to write a shell script and have it as a hook."""

    def make(script: str, **resources: Any) -> Hook:
        number = len(list(tmp_path.glob("hook*")))
        path = tmp_path / f"hook{number}"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
        path.chmod(0o755)
        scrub = Scrubber()
        scrub.register("build", ROTATED.env.values())
        return Hook(
            [str(path), "an argument", "$HOME"],
            session_id="build",
            env_file=Path("/run/build.env"),
            after=None,
            resources=HookResources(environ=ENVIRON, scrub=scrub, **resources),
        )

    return make


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged."""
    before = structlog.get_config()
    with capture_logs() as captured:
        yield captured
    structlog.configure(**before)


async def test_a_hook_is_told_names_and_nothing_of_the_daemon(
    make_hook: MakeHook, tmp_path: Path
) -> None:
    """Its environment is these seven variables, and no shell interprets its arguments."""
    hook = make_hook('env > env.txt; printf "%s|" "$@" > argv.txt')
    assert hook.consumers[0].generation is None
    assert await hook.deliver(ROTATED, CHANGE)
    seen = dict(
        line.split("=", 1) for line in (tmp_path / "env.txt").read_text().splitlines()
    )
    for own in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's
        seen.pop(own, None)
    assert seen == {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "LANG": "C",
        "RENSEI_SESSION_ID": "build",
        "RENSEI_GENERATION": "7",
        "RENSEI_CHANGED_NAMES": "GONE TOKEN",
        "RENSEI_ENV_FILE": "/run/build.env",
    }
    assert (tmp_path / "argv.txt").read_text() == "an argument|$HOME|"
    assert hook.consumers[0].generation == 7


async def test_a_hook_starts_when_the_files_are_written(
    make_hook: MakeHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start stops the loop, so files of other sessions that wait go first."""
    monkeypatch.setattr("rensei_daemon.delivery.hook.MOMENT_SECONDS", 0)
    written: list[tuple[int, bool]] = []
    turns, started = Turns(), tmp_path / "started"
    hook = make_hook("touch started", turns=turns)
    async with anyio.create_task_group() as tasks:

        def write(number: int) -> None:
            written.append((number, started.exists()))

        for number in range(3):
            turns.request(partial(write, number))
        tasks.start_soon(hook.deliver, ROTATED, CHANGE)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(turns.run)
        await until(started.exists)
        tasks.cancel_scope.cancel()
    assert written == [(0, False), (1, False), (2, False)]


async def test_a_hook_that_fails_says_how(make_hook: MakeHook) -> None:
    """Its exit code is in the error, its output in the log."""
    hook = make_hook("exit 3")
    with pytest.raises(DeliveryError, match=r"hook0 ended with exit code 3$"):
        await hook.deliver(ROTATED, CHANGE)
    assert hook.consumers[0].generation is None


async def test_a_program_that_is_not_there_is_an_error_of_its_own() -> None:
    """A typo in the configuration differs from a hook that fails."""
    resources = HookResources(environ=ENVIRON, scrub=Scrubber())
    hook = Hook(
        ["/no/such/program"],
        session_id="build",
        env_file=None,
        after=None,
        resources=resources,
    )
    with pytest.raises(DeliveryError, match="cannot be run: No such file or directory"):
        await hook.deliver(ROTATED, CHANGE)


async def test_ten_thousand_changed_names_do_not_keep_a_hook_from_starting(
    make_hook: MakeHook, tmp_path: Path
) -> None:
    """It gets the first 64 KiB of them, and that there are more."""
    hook = make_hook(
        'printf %s "$RENSEI_CHANGED_NAMES" >names; echo $RENSEI_CHANGED_NAMES_CUT'
    )
    names = tuple(f"CREDENTIAL_{number:05}" for number in range(10_000))
    with capture_logs() as logs:
        assert await hook.deliver(ROTATED, Difference({}, names))
    said = (tmp_path / "names").read_text().split(" ")
    assert said == list(names[: len(said)])
    assert len(said) == 65536 // 17
    assert [event["output"] for event in logs if event["event"] == "hook.ended"] == ["1\n"]


@pytest.mark.parametrize(
    ("names", "fits", "is_cut"),
    [
        ((), "", False),
        (("A", "BC"), "A BC", False),
        (("A", "BCD"), "A", True),
        (("AB", "C", "D"), "AB C", True),
        (("ABCDE",), "", True),
    ],
)
def test_names_are_cut_between_two_of_them(
    names: tuple[str, ...], fits: str, is_cut: bool
) -> None:
    """As many whole names as fit, the blanks between them counted."""
    assert join_within(names, 4) == (fits, is_cut)


async def test_a_script_without_its_first_line_is_told_so(tmp_path: Path) -> None:
    """Who forgot the #! line learns more than that the format is wrong."""
    script = tmp_path / "hook"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    resources = HookResources(environ=ENVIRON, scrub=Scrubber())
    hook = Hook(
        [str(script)], session_id="build", env_file=None, after=None, resources=resources
    )
    with pytest.raises(DeliveryError, match="cannot be run: Exec format error: no #! line"):
        await hook.deliver(ROTATED, CHANGE)


@pytest.mark.needs("root")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it is left behind
async def test_a_hook_that_cannot_be_killed_holds_nothing_past_its_limit(
    make_hook: MakeHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of another user's (`sudo`) is left behind, and named; its slot is free."""
    monkeypatch.setattr("rensei_daemon.delivery.run_program.GRACE_SECONDS", 0.1)
    slots = anyio.CapacityLimiter(1)
    hook = make_hook("echo >began; exec sleep 60", seconds=0.2, slots=slots)
    began = _fifo(tmp_path / "began", os.O_RDWR)
    said: list[str] = []

    async def deliver() -> None:
        with pytest.raises(DeliveryError) as caught:
            await hook.deliver(ROTATED, CHANGE)
        said.append(str(caught.value))

    try:
        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(deliver)
                await _read(began, 1)
                os.setresuid(65534, 65534, 0)  # it is root's, and we are not any more
    finally:
        os.setresuid(0, 0, 0)
        os.close(began)
    assert slots.borrowed_tokens == 0
    (pid,) = [int(word) for word in said[0].split() if word.isdigit() and int(word) > 1]
    assert f"could not be killed: pid {pid} is another user's" in said[0]
    await _end_left_behind(pid)
    gc.collect()  # or another test meets the warning


async def test_a_hook_that_hangs_is_ended_with_its_group(
    make_hook: MakeHook, tmp_path: Path
) -> None:
    """At its time TERM, which it may use to clean up, and its children go with it."""
    hook = make_hook(
        "trap 'echo cleaned > cleaned; exit 0' TERM\nsleep 60 3>alive &\necho here\nwait",
        seconds=0.3,
    )
    reader = _fifo(tmp_path / "alive")
    with (
        anyio.fail_after(HANG_SECONDS),
        pytest.raises(DeliveryError, match="did not end within"),
    ):
        await hook.deliver(ROTATED, CHANGE)
    assert (tmp_path / "cleaned").read_text() == "cleaned\n"
    await _until_closed(reader)


async def test_a_hook_that_ignores_term_is_killed(
    make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KILL follows TERM."""
    monkeypatch.setattr("rensei_daemon.delivery.run_program.GRACE_SECONDS", 0.2)
    hook = make_hook("trap '' TERM\nwhile :; do sleep 1; done", seconds=0.2)
    with (
        anyio.fail_after(HANG_SECONDS),
        pytest.raises(DeliveryError, match="did not end within"),
    ):
        await hook.deliver(ROTATED, CHANGE)


async def test_what_a_hook_leaves_behind_is_ended(
    make_hook: MakeHook, tmp_path: Path
) -> None:
    """A fork that holds the output open delays nothing, and is killed."""
    hook = make_hook("sleep 60 3>alive &\nexit 0")
    reader = _fifo(tmp_path / "alive")
    with anyio.fail_after(HANG_SECONDS):
        assert await hook.deliver(ROTATED, CHANGE)
    await _until_closed(reader)


async def test_a_cancelled_hook_does_not_outlive_the_daemon(
    make_hook: MakeHook, tmp_path: Path
) -> None:
    """At shutdown it gets TERM at once."""
    hook = make_hook("exec 3>alive\necho >&3\nsleep 60")
    reader = _fifo(tmp_path / "alive")
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hook.deliver, ROTATED, CHANGE)
            await _read(reader, 1)
            tasks.cancel_scope.cancel()
    await _until_closed(reader)


async def test_output_is_logged_without_values_and_within_bounds(
    make_hook: MakeHook, logs: list[Any]
) -> None:
    """Stdout and stderr, values redacted: the last 64 KiB, which say why it failed."""
    hook = make_hook(
        "yes tok_canary_7 | head -c 5000000\nhead -c 65520 /dev/zero | tr '\\0' x\n"
        "echo using tok_canary_7\necho failed >&2\nexit 1"
    )
    with anyio.fail_after(HANG_SECONDS), pytest.raises(DeliveryError):
        await hook.deliver(ROTATED, CHANGE)
    (event,) = [event for event in logs if event["event"] == "hook.ended"]
    written = 5_000_000 + 65_520 + len("using tok_canary_7\nfailed\n")
    first = f"[{written - 64 * 1024} bytes omitted]\n"
    assert event["output"].startswith(first + "xxx")
    assert event["output"].endswith("xxxusing [redacted]\nfailed\n")
    assert len(event["output"]) <= 64 * 1024 + len(first)
    assert "tok_can" not in event["output"]


@pytest.mark.slow
async def test_output_is_never_cut_within_a_value(
    make_hook: MakeHook, logs: list[Any]
) -> None:
    """Wherever the cut falls, nothing is left of the value it goes through."""
    with anyio.fail_after(HANG_SECONDS):
        for offset in range(len("tok_canary_7\n")):
            flood = "yes tok_canary_7 | head -c 140010"
            await make_hook(f"{flood}; printf '%0{offset + 1}d'").deliver(ROTATED, CHANGE)
    outputs = [event["output"] for event in logs if event["event"] == "hook.ended"]
    assert len(outputs) == 13
    for output in outputs:
        assert re.sub(r"\[redacted\]|\[\d+ bytes omitted\]|[0\n]", "", output) == ""


async def test_at_most_four_run_at_once(make_hook: MakeHook, tmp_path: Path) -> None:
    """Whatever their sessions are, on one host."""
    slots = anyio.CapacityLimiter(4)
    hook = make_hook("echo >began\ndd bs=1 count=1 <gate >gone 2>&1", slots=slots)
    began, gate = _fifo(tmp_path / "began", os.O_RDWR), _fifo(tmp_path / "gate", os.O_RDWR)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(hook.deliver, ROTATED, CHANGE)
            await _read(began, 4)
            assert slots.statistics().tasks_waiting == 2
            os.write(gate, b"....")
            await _read(began, 2)
            os.write(gate, b"..")
    os.close(began)
    os.close(gate)


async def _end_left_behind(pid: int) -> None:
    """Kill a program, and let asyncio learn of its end as it would in a daemon."""
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    with anyio.fail_after(HANG_SECONDS):
        await anyio.wait_readable(ended)
        for thread in threading.enumerate():
            if "waitpid-" in thread.name:  # before Python 3.12
                await anyio.to_thread.run_sync(thread.join)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
    os.close(ended)


def _fifo(path: Path, mode: int = os.O_RDONLY) -> int:
    os.mkfifo(path)
    return os.open(path, mode | os.O_NONBLOCK)


async def _read(fifo: int, count: int) -> None:
    while count:
        await anyio.wait_readable(fifo)
        count -= len(os.read(fifo, count))


async def _until_closed(fifo: int) -> None:
    """Wait until no process has the other end open any more."""
    with anyio.fail_after(HANG_SECONDS):
        while True:
            try:
                if os.read(fifo, 1) == b"":
                    break
            except BlockingIOError:
                await anyio.wait_readable(fifo)
    os.close(fifo)
