"""Browsers for the tests of the console."""

from collections.abc import AsyncIterator

import pytest
from console_browser import PASSWORD, SAME_ORIGIN, Browser, browsing, set_password
from platform_server import OWNER, Server


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[Browser]:
    """A browser that is not signed in."""
    async with browsing(server) as browser:
        yield browser


@pytest.fixture
async def owner(server: Server) -> AsyncIterator[Browser]:
    """A browser in which the organization's owner is signed in."""
    await set_password(server)
    async with browsing(server) as browser:
        form = {"email": OWNER, "password": PASSWORD}
        path = "/console/sign-in"
        done = await browser.http.post(path, data=form, headers=SAME_ORIGIN)
        assert done.status_code == 303, done.text
        yield browser
