"""What every test shares."""

import sys
from importlib.util import find_spec

import pytest

if find_spec("sniffio") is None:
    # httpcore looks for it in each call; that nothing is there, Python does not remember.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

pytest_plugins = [
    "properties",
    "garbage",
    "temporary",
    "skips",
    "slow",
    "leftovers",
    "parallel",
]


@pytest.fixture
def anyio_backend() -> str:
    """Run every async test on the event loop the daemon runs on."""
    return "asyncio"
