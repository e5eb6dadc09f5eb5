"""Work on large texts."""

import gc
import subprocess
import sys
import threading
from functools import partial

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon import long_work
from rensei_daemon.long_work import FULL_SELDOM, INLINE_BYTES, run_by_size, run_in_thread


async def test_only_a_long_text_is_read_in_a_thread() -> None:
    """A short one is read at once."""
    here = threading.get_ident()
    assert await run_by_size(threading.get_ident, size=INLINE_BYTES) == here
    assert await run_by_size(threading.get_ident, size=INLINE_BYTES + 1) != here


async def test_no_full_collection_stops_the_loop_while_any_work_runs() -> None:
    """Not even if another ends, or fails; all is as before after the last."""
    usual = gc.get_threshold()
    waiting = threading.Barrier(2)
    found: list[tuple[int, int, int]] = []

    def work() -> None:
        waiting.wait(HANG_SECONDS)
        found.append(gc.get_threshold())

    def fail() -> None:
        raise ValueError("a wrong text")

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_in_thread, work)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ValueError, match="a wrong text"):
                await run_in_thread(fail)
            await run_in_thread(partial(waiting.wait, HANG_SECONDS))
    assert found == [(*usual[:2], FULL_SELDOM)]
    assert gc.get_threshold() == usual
    assert not long_work._under_way


COLLECTIONS = """
import gc
import anyio
from rensei_daemon.long_work import run_in_thread

full = []
def note(phase, about):
    if about["generation"] == 2:
        full.append(phase)

gc.callbacks.append(note)

def parse():
    return [[{"id": [number]} for number in range(100)] for _ in range(4000)]

async def main():
    await anyio.to_thread.run_sync(parse)
    usually = len(full)
    await run_in_thread(parse)
    print(usually > 0, len(full) == usually)

anyio.run(main)
"""


@pytest.mark.slow
def test_a_large_text_becomes_objects_without_a_full_collection() -> None:
    """In a process of its own: when there is one depends on all objects there are."""
    words = [sys.executable, "-c", COLLECTIONS]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "True True\n"
