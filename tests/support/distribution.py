"""The pytest plugin that spreads the tests over the workers of xdist: a file to each.

What waits longest comes first, so that no worker is alone with it at the end. All files
that need the booted host go to one worker: it is booted once.
"""

from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
BOOTED = "e2e/systemd"
LONGEST = (BOOTED, "e2e", "tasks", "control_plane/console", "cli", "control_plane")
"""Where tests wait for processes, the longest first; the others are short."""


def _rank(path: Path) -> int:
    place = path.relative_to(TESTS).as_posix()
    ranks = (n for n, first in enumerate(LONGEST) if place.startswith(f"{first}/"))
    return next(ranks, len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits longest first; within a file the order stays."""
    items.sort(key=lambda item: _rank(item.path))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out the files in their order, if files are what is to be handed out."""
    if config.getvalue("dist") != "loadfile":
        return None
    # Only the controller has xdist's own modules for this.
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    config.option.loadscopereorder = False
    scheduling = LoadFileScheduling(config, log)
    by_file = scheduling._split_scope
    scheduling._split_scope = lambda id_: BOOTED if f"/{BOOTED}/" in id_ else by_file(id_)
    return scheduling
