"""Fixtures of the control plane's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from platform_server import Server, key_beside, running, sqlite_url


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on an embedded database."""
    url = sqlite_url(tmp_path)
    async with running(url, key_beside(url)) as server:
        yield server
