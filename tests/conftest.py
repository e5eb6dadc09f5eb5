"""What every test shares."""

import pytest

pytest_plugins = ["skips", "leftovers", "distribution"]


@pytest.fixture
def anyio_backend() -> str:
    """Run every async test on the event loop the daemon runs on."""
    return "asyncio"
