"""The pytest plugin that knows which tests `make test` leaves to `make test ALL=1`.

They are marked `slow`: a life of many processes, a browser, a booted host, a fleet; what
takes over a second of a core. What runs on PostgreSQL is slow too: most of it is tried on
SQLite as well.
"""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "slow: left to `make test ALL=1`; see slow.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on PostgreSQL, before -m chooses."""
    for item in items:
        called = getattr(item, "callspec", None)
        if called is not None and "postgresql" in called.params.values():
            item.add_marker(pytest.mark.slow)
