"""The pytest plugin that knows which tests `make test` leaves to `make test ALL=1`.

They are marked `slow`: lives of many processes, terminals, browsers and the pages for
them, a booted host, a fleet; what takes over half a second of a core. So is nearly all that
starts programs of the control plane, and what runs on PostgreSQL: most of that is tried on
SQLite as well.
"""

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "slow: left to `make test ALL=1`; see slow.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on PostgreSQL, before -m chooses."""
    for item in items:
        if "postgresql" in _named(item):
            item.add_marker(pytest.mark.slow)


def _named(item: pytest.Item) -> Iterator[Any]:
    """Yield what a test needs, its fixtures, and its parameters."""
    for needed in item.iter_markers("needs"):
        yield from needed.args
    if isinstance(item, pytest.Function):
        yield from item.fixturenames
        yield from item.callspec.params.values() if hasattr(item, "callspec") else ()
